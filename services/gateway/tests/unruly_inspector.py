"""The process that looks at photos, with a decoder that crashes, hangs or grows as the file tells it to."""

import os
import signal
from pathlib import Path
from typing import Any

from fluxline_gateway.images import inspector

answer = inspector.answer


def unruly(task: dict[str, str]) -> dict[str, Any]:
    """As `answer`, but for four contents."""
    match Path(task["path"]).read_bytes()[:5]:
        case b"crash":
            os.abort()
        case b"hangs":
            Path(task["path"] + ".reached").touch()
            signal.pause()
        case b"grows":
            bytearray(8 * 2**30)
        case b"lies!":
            os.write(0, b"x" * 100_000 + b"\n")
    return answer(task)


if __name__ == "__main__":
    inspector.answer = unruly
    inspector.main()
