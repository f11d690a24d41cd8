"""What a file is, told from its first bytes, and how much work it asks for, told from its structure.

Decoders walk through whatever a file lists, however long the list is: what is too long is told here, cheaply.
"""

import re
import struct
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

MAX_JPEG_STEPS: Final = 10_000
"""Segments, and bytes outside of them before the pixels. A photo has a few dozen, with huge metadata a few hundred."""
MAX_PNG_CHUNKS: Final = 100_000
"""25 MB in chunks of 256 bytes; writers use 8 KB and more."""
MAX_TIFF_ENTRIES: Final = 1_000
MAX_TIFF_VALUES: Final = 100_000
"""Of one entry that lists numbers: the places of the strips are the longest list, at most one a row."""
_JPEG_SEGMENT: Final = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]")  # not stuffing, TEM, RSTn, SOI: no length follows
_JPEG_SCAN, _JPEG_END = 0xDA, 0xD9
_JPEG_SEQUENTIAL: Final = (0xC0, 0xC1)
_JPEG_ORDINARY: Final = {0xC4, 0xDB, 0xDD, 0xFE, *range(0xE0, 0xF0)}
"""Tables, restart interval, comment, APPn: what precedes the frame and the scan in a file as cameras write it."""
_TIFF_BYTE_TYPES: Final = (1, 2, 6, 7)
_TIFF_TYPE_BYTES: Final = (
    dict.fromkeys(_TIFF_BYTE_TYPES, 1)
    | dict.fromkeys((3, 8), 2)
    | dict.fromkeys((4, 9, 11, 13), 4)
    | dict.fromkeys((5, 10, 12, 16, 17, 18), 8)
)


def image_format(content: bytes) -> str | None:
    """The format's name in lower case, accepted or not; None for content that is no image we have heard of."""
    head = content[:_SNIFF_BYTES]
    return next((name for signature, name in _SIGNATURES if re.match(signature, head, re.DOTALL)), None)


def excess(format_: str, content: bytes) -> str | None:
    """What there is too much of for a decoder to be let near the file, as "more than 9 of something"."""
    match format_:
        case "jpeg" if jpeg_work(content)[0] >= MAX_JPEG_STEPS:
            return f"more than {MAX_JPEG_STEPS} segments"
        case "png" if _png_chunks(content) >= MAX_PNG_CHUNKS:
            return f"more than {MAX_PNG_CHUNKS} chunks"
        case "tiff":
            return _tiff_excess(content)
    return None


def jpeg_work(content: bytes) -> tuple[int, int]:
    """Steps of a decoder through the segments, and how often it paints over the pixels: scans before EOI.

    Steps are counted up to `MAX_JPEG_STEPS`. Before the first scan each byte of junk, padding or a stray restart
    marker is one; behind it they are free (ITU T.81, annex B).
    """
    if segments := _single_scan(content):
        return segments, 1
    steps = scans = 0
    position = 2
    while steps < MAX_JPEG_STEPS:
        marker = _JPEG_SEGMENT.search(content, position)
        junk = (marker.start() if marker else len(content)) - position
        steps += 1 + (0 if scans else junk)
        if marker is None or (scans and content[marker.end() - 1] == _JPEG_END):
            break
        position = marker.end()
        scans += content[position - 1] == _JPEG_SCAN
        position += max(2, int.from_bytes(content[position : position + 2], "big"))
    return min(steps, MAX_JPEG_STEPS), scans


def _single_scan(content: bytes) -> int | None:
    """Segments up to the first scan, where that paints all of a sequential picture: a decoder accepts no other.

    So nothing behind it has to be searched, which would take as long as the rest of opening the file. None where the
    segments do not follow one another without a gap, or are none of those that every decoder reads alike.
    """
    position, components = 2, 0
    for steps in range(1, MAX_JPEG_STEPS):
        head = content[position : position + 10]
        if len(head) < 10 or head[0] != 0xFF:
            return None
        kind, length = head[1], int.from_bytes(head[2:4], "big")
        if kind == _JPEG_SCAN:
            return steps if components and head[4] == components and length == 6 + 2 * components else None
        if kind in _JPEG_SEQUENTIAL and not components:
            components = head[9]
        elif kind not in _JPEG_ORDINARY or length < 2:
            return None
        position += 2 + length
    return None


def _png_chunks(content: bytes) -> int:
    """Chunks, counted up to `MAX_PNG_CHUNKS` (PNG specification, 5.3)."""
    count, position = 0, 8
    while count < MAX_PNG_CHUNKS and position < len(content):
        position += 12 + int.from_bytes(content[position : position + 4], "big")
        count += 1
    return count


def _tiff_excess(content: bytes) -> str | None:
    """Entries that claim the same bytes again and again are read, and kept, again and again (TIFF 6.0, section 2)."""
    claimed = 0
    entries = _tiff_directory(content)
    if len(entries) > MAX_TIFF_ENTRIES:
        return f"more than {MAX_TIFF_ENTRIES} tags"
    for type_, count, offset in entries:
        if count > MAX_TIFF_VALUES and type_ not in _TIFF_BYTE_TYPES:
            return f"more than {MAX_TIFF_VALUES} values of a tag"
        claimed += min(count * _TIFF_TYPE_BYTES.get(type_, 1), max(0, len(content) - offset))
    return "tags that claim more than the whole file" if claimed > 2 * len(content) else None


def _tiff_directory(content: bytes) -> list[tuple[int, int, int]]:
    """Type, count and value or offset of each entry of the first directory, as far as the file goes."""
    order = "<" if content[:2] == b"II" else ">"
    big = b"+" in content[2:4]
    head, number, entry = ("8xQ", "Q", "HQQ") if big else ("4xI", "H", "HII")
    try:
        (start,) = struct.unpack_from(order + head, content)
        (length,) = struct.unpack_from(order + number, content, start)
    except (struct.error, OverflowError):  # an offset of 64 bits
        return []
    start += struct.calcsize(order + number)
    one = struct.Struct(f"{order}2x{entry}")
    whole = content[start : start + min(length, MAX_TIFF_ENTRIES + 1) * one.size]
    return list(one.iter_unpack(whole[: len(whole) // one.size * one.size]))
