"""What a file is, told from its first bytes, and how much work a JPEG asks for, told from its markers."""

import re
from typing import Final

_SIGNATURES: Final = (
    (rb"\xff\xd8\xff", "jpeg"),
    (rb"\x89PNG\r\n\x1a\n", "png"),
    (rb"RIFF....WEBP", "webp"),
    (rb"II[*+]\0|MM\0[*+]", "tiff"),
    (rb"....ftyp(.{4})*?avi[fs]", "avif"),
    (rb"....ftyp(hei[cxms]|hev[cxms]|mif1|msf1)", "heic"),
    (rb"....ftyp", "video"),
    (rb"GIF8", "gif"),
    (rb"BM", "bmp"),
    (rb"8BPS", "psd"),
    (rb"%PDF", "pdf"),
    (rb"\0\0\0\x0cjP  ", "jpeg 2000"),
    (rb"\0\0\0\x0cJXL |\xff\x0a", "jpeg xl"),
)
_SNIFF_BYTES: Final = 48
_JPEG_SEGMENT: Final = re.compile(rb"\xff[^\x00\xd0-\xd8\xff]")  # not stuffing, RSTn or SOI, which no length follows
_JPEG_SCAN, _JPEG_END = 0xDA, 0xD9


def image_format(content: bytes) -> str | None:
    """The format's name in lower case, accepted or not; None for content that is no image we have heard of."""
    head = content[:_SNIFF_BYTES]
    return next((name for signature, name in _SIGNATURES if re.match(signature, head, re.DOTALL)), None)


def jpeg_scans(content: bytes, at_most: int) -> int:
    """How often a JPEG paints over its pixels, counted up to `at_most`: SOS segments before EOI (ITU T.81, annex B)."""
    scans, position = 0, 2
    while scans < at_most and (marker := _JPEG_SEGMENT.search(content, position)):
        position = marker.end()
        code = content[position - 1]
        if code == _JPEG_END:
            break
        scans += code == _JPEG_SCAN
        position += max(2, int.from_bytes(content[position : position + 2], "big"))
    return scans
