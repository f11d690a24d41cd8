"""`python -m fluxline_gateway.images.inspector`: a child process that looks at photos, and may crash of it.

It speaks JSON lines over the socket that is its standard input: `{"task": "inspect", "path": …}` is answered with
`{"facts": {…}}` or `{"rejected": [code, reason]}`, `{"task": "thumbnail", "path": …, "target": …}` with `{}` once the
thumbnail lies at `target`, and what it does not understand with `{"failed": what}`. It ends when the gateway does.
"""

import ctypes
import json
import os
import resource
import signal
import socket
import sys
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from fluxline.images import ImageRejected, inspect
from fluxline_gateway.images.thumbnails import thumbnail

MAX_MEMORY_BYTES: Final = 3 * 2**30
"""Of its address space; a WebP of 100 megapixels takes up to 2.1 GB."""
MAX_CPU_S: Final = 120
"""For one task; the gateway waits for less, but may be gone."""
_PR_SET_PDEATHSIG: Final = 1


def main() -> None:
    """Say that it is ready with an empty line, then answer each line until the gateway hangs up."""
    _give_way(int(sys.argv[1]))
    with socket.socket(fileno=0) as line, line.makefile("r") as tasks:
        line.sendall(b"\n")
        for task in tasks:
            _limit_cpu()
            line.sendall(json.dumps(answer(json.loads(task))).encode() + b"\n")


def answer(task: dict[str, str]) -> dict[str, Any]:
    """What is answered to a task."""
    try:
        match task:
            case {"task": "inspect", "path": path}:
                facts = asdict(inspect(Path(path)))
                return {"facts": facts | {"perceptual_hash": facts["perceptual_hash"].hex()}}
            case {"task": "thumbnail", "path": path, "target": target}:
                Path(target).write_bytes(thumbnail(Path(path).read_bytes()))
                return {}
            case _:
                return {"failed": "there is no such task"}
    except ImageRejected as rejected:
        return {"rejected": [rejected.code, rejected.reason]}
    except Exception as error:  # it is the gateway that says what a failure means
        return {"failed": f"{type(error).__name__}: {error}"}


def _give_way(gateway_pid: int) -> None:
    """Take no more memory than is allowed, be the first to go when it is out, and end with the gateway at once."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(ValueError, OSError):  # where the system has no such limit, or a lower one
        resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        with suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("1000")
    if os.getppid() != gateway_pid:  # it ended before it was watched
        raise SystemExit


def _limit_cpu() -> None:
    used = resource.getrusage(resource.RUSAGE_SELF)
    until = int(used.ru_utime + used.ru_stime) + MAX_CPU_S
    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    with suppress(ValueError):  # where less is left than this
        resource.setrlimit(resource.RLIMIT_CPU, (until, most))


if __name__ == "__main__":
    main()
