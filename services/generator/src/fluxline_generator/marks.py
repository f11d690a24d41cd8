"""How an image was made, written into its file without touching a pixel: PNG text, or EXIF in JPEG and WebP.

PNG: https://www.w3.org/TR/png-3/#11iTXt. JPEG: EXIF 2.32 in an APP1 segment. WebP: an `EXIF` chunk, which needs the
extended header (https://developers.google.com/speed/webp/docs/riff_container).
"""

import json
import struct
import zlib
from collections.abc import Iterator, Mapping
from io import BytesIO
from typing import Any, Final, NamedTuple

from PIL import ExifTags, Image

SOFTWARE: Final = "fluxline"
_PNG_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_JPEG_START: Final = b"\xff\xd8"
_JPEG_APP0: Final = b"\xff\xe0"
_EXIF_SEGMENT: Final = b"\xff\xe1"
_MAX_SEGMENT: Final = 0xFFFF - 2
_WEBP_EXIF_FLAG: Final = 0x08
_WEBP_ALPHA_FLAG: Final = 0x10
_UNICODE: Final = b"UNICODE\x00"


class _Chunk(NamedTuple):
    kind: bytes
    content: bytes


def marked(image: bytes, prompt: str, made_with: Mapping[str, Any]) -> bytes:
    """The same image with `prompt` as its description and `made_with` as JSON in its comment.

    `image` is a PNG, JPEG or WebP; anything else, and what does not hold to its format, raises ValueError.
    """
    comment = json.dumps(dict(made_with), ensure_ascii=False, sort_keys=True)
    if image.startswith(_PNG_SIGNATURE):
        return _marked_png(image, {"Description": prompt, "Comment": comment, "Software": SOFTWARE})
    if image.startswith(_JPEG_START):
        return _marked_jpeg(image, _exif(prompt, comment))
    if image[:4] == b"RIFF" and image[8:12] == b"WEBP":
        return _marked_webp(image, _exif(prompt, comment))
    raise ValueError("neither PNG, JPEG nor WebP")


def _exif(prompt: str, comment: str) -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.ImageDescription] = prompt.encode()
    exif[ExifTags.Base.Software] = SOFTWARE
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment] = _UNICODE + comment.encode("utf-16-be")
    return exif.tobytes()


def _marked_png(image: bytes, texts: Mapping[str, str]) -> bytes:
    """Text goes behind the header, where readers find it before the pixels."""
    header_end = len(_PNG_SIGNATURE) + 25
    if image[12:16] != b"IHDR" or len(image) <= header_end:
        raise ValueError("a PNG without its header")
    chunks = b"".join(_png_text(keyword, text) for keyword, text in texts.items())
    return image[:header_end] + chunks + image[header_end:]


def _png_text(keyword: str, text: str) -> bytes:
    content = keyword.encode("latin-1") + b"\x00\x00\x00\x00\x00" + text.encode()
    body = b"iTXt" + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))


def _marked_jpeg(image: bytes, exif: bytes) -> bytes:
    """The EXIF segment goes to the front, behind the JFIF header where there is one; it holds 64 KiB at most."""
    payload = exif if exif.startswith(b"Exif\x00\x00") else b"Exif\x00\x00" + exif
    if len(payload) > _MAX_SEGMENT:
        raise ValueError("the marks are too long for a JPEG")
    start = len(_JPEG_START)
    if image[start : start + 2] == _JPEG_APP0:
        start += 2 + int.from_bytes(image[start + 2 : start + 4])
    segment = _EXIF_SEGMENT + struct.pack(">H", len(payload) + 2) + payload
    return image[:start] + segment + image[start:]


def _marked_webp(image: bytes, exif: bytes) -> bytes:
    chunks = [chunk for chunk in _riff_chunks(image) if chunk.kind != b"EXIF"]
    if not chunks:
        raise ValueError("a WebP without an image")
    if chunks[0].kind != b"VP8X":
        chunks.insert(0, _extended_header(image))
    flags = chunks[0].content[0] | _WEBP_EXIF_FLAG
    chunks[0] = _Chunk(b"VP8X", bytes([flags]) + chunks[0].content[1:])
    chunks.append(_Chunk(b"EXIF", exif.removeprefix(b"Exif\x00\x00")))
    body = b"WEBP" + b"".join(map(_riff_chunk, chunks))
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _extended_header(image: bytes) -> _Chunk:
    with Image.open(BytesIO(image)) as opened:
        width, height = opened.size
        flags = _WEBP_ALPHA_FLAG if "A" in opened.getbands() else 0
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return _Chunk(b"VP8X", bytes([flags, 0, 0, 0]) + size)


def _riff_chunks(image: bytes) -> Iterator[_Chunk]:
    position = 12
    while position + 8 <= len(image):
        kind, length = image[position : position + 4], int.from_bytes(image[position + 4 : position + 8], "little")
        content = image[position + 8 : position + 8 + length]
        if len(content) < length:
            raise ValueError("a WebP that ends too early")
        yield _Chunk(kind, content)
        position += 8 + length + length % 2


def _riff_chunk(chunk: _Chunk) -> bytes:
    return chunk.kind + struct.pack("<I", len(chunk.content)) + chunk.content + b"\x00" * (len(chunk.content) % 2)
