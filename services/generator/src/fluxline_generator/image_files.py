"""Whether a delivered file is a whole image, told by its first and last bytes alone: nothing is decoded here."""

import struct
from pathlib import Path
from typing import Final

from fluxline.image_formats import image_format

_EXTENSIONS: Final = {"jpeg": "jpg", "png": "png", "webp": "webp"}
_HEAD_BYTES: Final = 64
_TAIL_BYTES: Final = 1024
_ENDS: Final = {"jpg": b"\xff\xd9", "png": b"IEND"}
"""What has to be among the last bytes: the end-of-image marker, the last chunk."""


def extension_of(path: Path) -> str | None:
    """`jpg`, `png` or `webp` by content; None for anything else, and for an image that is cut off."""
    size_bytes = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
        file.seek(max(0, size_bytes - _TAIL_BYTES))
        tail = file.read()
    extension = _EXTENSIONS.get(image_format(head) or "")
    if extension is None:
        return None
    whole = _riff_bytes(head) <= size_bytes if extension == "webp" else _ENDS[extension] in tail
    return extension if whole else None


def _riff_bytes(head: bytes) -> int:
    """The size of a RIFF file by its own header, which does not count itself (8 bytes)."""
    (size,) = struct.unpack_from("<I", head, 4)
    return int(size) + 8
