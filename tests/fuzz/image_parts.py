"""Mutations that know the format: parts are dropped, repeated, swapped and forged, and the container stays whole."""

import random
import struct
import zlib
from collections.abc import Callable

_TIFF_VALUES = (0, 1, 2, 3, 7, 8, 16, 255, 256, 4096, 65535, 65536, 2**24, 2**31 - 1, 2**31, 2**32 - 1)
_TIFF_TAGS = (254, 256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 284, 317, 320, 322, 323, 324, 325, 330, 338)
_TIFF_TAGS += (339, 347, 512, 513, 530, 33723, 34377, 34665, 34675, 34853, 700)
_BOXES = (b"ftyp", b"meta", b"hdlr", b"pitm", b"iinf", b"infe", b"iprp", b"ipco", b"ipma", b"ispe", b"hvcC", b"iloc")
_BOXES += (b"iref", b"idat", b"mdat", b"irot", b"imir", b"clap", b"colr", b"pixi", b"auxC")
Part = tuple[bytes, bytes]


def mutated_parts(content: bytes, dice: random.Random) -> bytes:
    """The file with one to four of its parts changed."""
    split = next((known for start, known in _FORMATS if content[start[0] :].startswith(start[1])), None)
    for _ in range(dice.randrange(1, 5)):
        content = split(content, dice) if split else content[::-1]
    return content


def _png(content: bytes, dice: random.Random) -> bytes:
    parts, at = [], 8
    while at + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, at)
        parts.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + length]))
        at += 12 + length
    return content[:8] + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in _changed(parts, dice)
    )


def _jpeg(content: bytes, dice: random.Random) -> bytes:
    parts, at = [], 2
    while at + 4 <= len(content) and content[at] == 0xFF and content[at + 1] != 0xDA:
        length = int.from_bytes(content[at + 2 : at + 4], "big")
        parts.append((content[at : at + 2], content[at + 4 : at + 2 + length]))
        at += 2 + max(2, length)
    head = b"".join(kind + struct.pack(">H", min(65535, len(data) + 2)) + data for kind, data in _changed(parts, dice))
    return content[:2] + head + content[at:]


def _webp(content: bytes, dice: random.Random) -> bytes:
    parts, at = [], 12
    while at + 8 <= len(content):
        (length,) = struct.unpack_from("<I", content, at + 4)
        parts.append((content[at : at + 4], content[at + 8 : at + 8 + length]))
        at += 8 + length + length % 2
    body = b"".join(
        kind + struct.pack("<I", len(data)) + data + bytes(len(data) % 2) for kind, data in _changed(parts, dice)
    )
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def _tiff(content: bytes, dice: random.Random) -> bytes:
    """One entry of the first directory claims something else; classic little-endian TIFF, as our bases are."""
    data = bytearray(content)
    at = int.from_bytes(data[4:8], "little")
    entries = int.from_bytes(data[at : at + 2], "little") if data[2:3] == b"*" else 0
    if not 0 < entries < 200 or at + 2 + entries * 12 > len(data):
        return _mutated_data(content, dice)
    entry = at + 2 + 12 * dice.randrange(entries)
    match dice.randrange(5):
        case 0:
            struct.pack_into("<H", data, entry, dice.choice(_TIFF_TAGS))
        case 1:
            struct.pack_into("<H", data, entry + 2, dice.randrange(20))
        case 2:
            struct.pack_into("<I", data, entry + 4, dice.choice(_TIFF_VALUES))
        case 3:
            struct.pack_into("<I", data, entry + 8, dice.choice((*_TIFF_VALUES, at, len(data) - 4, entry)))
        case _:
            end = at + 2 + entries * 12
            data[end : end + 4] = struct.pack("<I", dice.choice((at, at + 12, len(data) - 2, 4)))
    return bytes(data)


def _heic(content: bytes, dice: random.Random) -> bytes:
    """One box states another size, kind or content, or comes several times."""
    places = [at for name in _BOXES if (at := content.find(name)) >= 4]
    if not places:
        return _mutated_data(content, dice)
    at, data = dice.choice(places), bytearray(content)
    size = int.from_bytes(data[at - 4 : at], "big")
    match dice.randrange(5):
        case 0:
            data[at - 4 : at] = struct.pack(
                ">I", dice.choice((0, 1, 7, 8, 16, 2**31, 2**32 - 1, size + 8, size - 1)) % 2**32
            )
        case 1:
            data[at : at + 4] = dice.choice(_BOXES)
        case 2:
            data[at - 4 : at - 4] = data[at - 4 : at - 4 + size] * dice.choice((1, 3, 50))
        case _:
            inner = at + 4 + dice.randrange(max(1, min(size, 64)))
            data[inner : inner + 4] = struct.pack(">I", dice.choice(_TIFF_VALUES))[: dice.randrange(1, 5)]
    return bytes(data)


def _changed(parts: list[Part], dice: random.Random) -> list[Part]:
    if not parts:
        return parts
    at = dice.randrange(len(parts))
    kind, data = parts[at]
    match dice.randrange(7):
        case 0:
            del parts[at]
        case 1:
            parts[at:at] = [parts[at]] * dice.choice((1, 2, 40))
        case 2:
            parts[at] = (dice.choice(parts)[0], data)
        case 3:
            parts[at] = (kind, data[: dice.randrange(len(data) + 1)])
        case 4:
            dice.shuffle(parts)
        case _:
            parts[at] = (kind, _mutated_data(data, dice))
    return parts


def _mutated_data(data: bytes, dice: random.Random) -> bytes:
    if not data:
        return dice.randbytes(dice.randrange(20))
    at = dice.randrange(min(len(data), 64) if dice.random() < 0.7 else len(data))
    value = struct.pack(dice.choice("<>") + "I", dice.choice(_TIFF_VALUES))[: dice.randrange(1, 5)]
    return data[:at] + value + data[at + len(value) :]


_FORMATS: tuple[tuple[tuple[int, bytes], Callable[[bytes, random.Random], bytes]], ...] = (
    ((0, b"\x89PNG"), _png),
    ((0, b"\xff\xd8"), _jpeg),
    ((8, b"WEBP"), _webp),
    ((0, b"II"), _tiff),
    ((4, b"ftyp"), _heic),
)
