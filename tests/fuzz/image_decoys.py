"""Files that nobody's camera makes: bombs, loops, endless headers, files of two natures."""

import random
import struct
import zlib
from collections.abc import Callable
from functools import cache
from io import BytesIO
from zipfile import ZipFile

from PIL import Image

import photos

SIDE = 600
Make = Callable[[random.Random], bytes]


@cache
def _jpeg(progressive: bool = False) -> bytes:
    buffer = BytesIO()
    photos.scene((SIDE, SIDE), 1).save(buffer, "JPEG", progressive=progressive)
    return buffer.getvalue()


@cache
def _png() -> bytes:
    return photos.png_bytes((SIDE, SIDE), 8, 0, bytes(SIDE * SIDE))


@cache
def _heic() -> bytes:
    return photos.heic_bytes(photos.scene((SIDE, SIDE), 1))


@cache
def _webp(**options: object) -> bytes:
    buffer = BytesIO()
    Image.new("RGB", (SIDE, SIDE), "red").save(buffer, "WEBP", exif=b"x", **options)
    return buffer.getvalue()


def _whole(dice: random.Random) -> bytes:
    return dice.choice((_jpeg(), _png(), _heic(), _webp()))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _count(dice: random.Random, most: int = 300_000) -> int:
    """Mostly few, now and then so many that it takes up a whole file."""
    return dice.choice((1, 10, 1000, 1000, 10_000, most))


def _tiff(tags: dict[int, tuple[int, int, int]], rest: bytes, following: int = 0) -> bytes:
    """A little-endian TIFF of one directory; a tag's value is (type, count, value or offset); `rest` is at 1000."""
    entries = b"".join(struct.pack("<HHII", tag, *tags[tag]) for tag in sorted(tags))
    directory = struct.pack("<2sHIH", b"II", 42, 8, len(tags)) + entries + struct.pack("<I", following)
    return directory.ljust(1000, b"\0") + rest


def _grey(compression: int = 8, width: int = SIDE, height: int = SIDE) -> dict[int, tuple[int, int, int]]:
    """The tags of a grey picture, without those that say where its pixels are."""
    facts = {256: width, 257: height, 258: 8, 259: compression, 262: 1, 277: 1}
    return {tag: (4, 1, value) for tag, value in facts.items()}


def _many_entries(dice: random.Random, data_bytes: int = 0) -> bytes:
    """A directory whose thousands of entries all claim the same bytes."""
    shared = data_bytes or dice.choice((60, 4000, 2**20, 8 * 2**20))
    entries = dice.choice((100, 3000, 60_000))
    tags = {tag: (dice.choice((1, 7, 4)), shared // 4, 1000) for tag in range(1000, 1000 + entries)}
    strip = {278: (4, 1, SIDE), 273: (4, 1, 1000), 279: (4, 1, 5000)}
    return _tiff(_grey() | strip | tags, zlib.compress(bytes(SIDE * SIDE)) + bytes(shared))


def _tile(dice: random.Random) -> bytes:
    """A small picture in one tile of any size."""
    width, height = (dice.choice((16, 512, 4096, 32768, 40_000, 2**20, 2**31 - 1)) for _ in range(2))
    place = {322: (4, 1, width), 323: (4, 1, height), 324: (4, 1, 1000), 325: (4, 1, 100)}
    return _tiff(_grey(dice.choice((1, 5, 7, 8, 32773))) | place, zlib.compress(bytes(SIDE * SIDE)))


def _strip(dice: random.Random) -> bytes:
    """A picture of any size in strips of any height."""
    width, height = dice.choice(((SIDE, SIDE), (10_000, 9_990), (2**31 - 1, 1), (65_535, 65_535), (512, 195_000)))
    place = {278: (4, 1, dice.choice((1, SIDE, height, 2**31 - 1))), 273: (4, 1, 1000), 279: (4, 1, 400)}
    return _tiff(_grey(dice.choice((1, 2, 5, 7, 8)), width, height) | place, zlib.compress(bytes(SIDE * SIDE)))


def _directories(dice: random.Random) -> bytes:
    """A chain of directories: empty, in a loop, or pointing behind the end."""
    count = _count(dice)
    chain = b"".join(struct.pack("<HI", 0, 1006 + 6 * number) for number in range(count))
    last = struct.pack("<HI", 0, dice.choice((0, 8, 1000, 2**32 - 1)))
    strip = {278: (4, 1, SIDE), 273: (4, 1, 8), 279: (4, 1, 400)}
    return _tiff(_grey(1) | strip, chain + last, following=dice.choice((8, 1000, 1001)))


def _jpeg_head(head: bytes, *, progressive: bool = False) -> bytes:
    whole = _jpeg(progressive)
    return whole[:2] + head + whole[2:]


def _exif(dice: random.Random) -> bytes:
    """EXIF that is a bomb itself, in any of the formats that carry it."""
    tiff = _many_entries(dice, dice.choice((60, 40_000, 2**20)))
    carrier = dice.randrange(3)
    if carrier == 0:
        parts = (tiff[at : at + 65_000] for at in range(0, len(tiff), 65_000))
        return _jpeg_head(b"".join(b"\xff\xe1" + struct.pack(">H", len(p) + 8) + b"Exif\0\0" + p for p in parts))
    if carrier == 1:
        return _png()[:33] + _chunk(b"eXIf", tiff) + _png()[33:]
    return _webp() + b"EXIF" + struct.pack("<I", len(tiff)) + tiff


def _repeated_scans(dice: random.Random) -> bytes:
    whole = _jpeg(True)
    last = whole.rindex(b"\xff\xda")
    return whole[:-2] + whole[last:-2] * dice.choice((1, 80, 3000)) + whole[-2:]


def _scans_of_a_large_picture(dice: random.Random) -> bytes:
    buffer = BytesIO()
    Image.new("L", (10_000, 9_900)).save(buffer, "JPEG", progressive=True)
    whole = buffer.getvalue()
    last = whole.rindex(b"\xff\xda")
    return whole[:-2] + whole[last:-2] * dice.choice((1, 20, 90)) + whole[-2:]


def _claimed_jpeg_size(dice: random.Random) -> bytes:
    whole = bytearray(_jpeg(dice.random() < 0.5))
    at = max(whole.find(b"\xff\xc0"), whole.find(b"\xff\xc2"))
    whole[at + 5 : at + 9] = struct.pack(">HH", *(dice.choice((0, 1, 512, 10_000, 65_535)) for _ in range(2)))
    return bytes(whole)


def _png_texts(dice: random.Random) -> bytes:
    """Compressed texts and profiles that unpack to much more than they are."""
    packed = zlib.compress(bytes(dice.choice((1000, 2**20, 64 * 2**20))), 9)
    kind, head = dice.choice(((b"zTXt", b"k\0\0"), (b"iTXt", b"k\0\1\0\0\0"), (b"iCCP", b"p\0\0")))
    return _png()[:33] + _chunk(kind, head + packed) * dice.choice((1, 50, 300)) + _png()[33:]


def _png_size(dice: random.Random) -> bytes:
    if dice.random() < 0.5:
        return photos.bomb_png((dice.choice((512, 9_999, 60_000, 2**31 - 1)), dice.choice((1, 9_999, 2**31 - 1))))
    header = struct.pack(
        ">IIBBBBB", SIDE, SIDE, dice.choice((0, 1, 7, 16, 255)), dice.randrange(8), 0, 0, dice.randrange(3)
    )
    return _png()[:8] + _chunk(b"IHDR", header) + _png()[33:]


def _large(dice: random.Random) -> bytes:
    """As many pixels as are allowed, in few bytes: the most that a file may cost."""
    depth, colour, samples = dice.choice(
        ((1, 0, 1), (8, 0, 1), (8, 2, 3), (8, 6, 4), (16, 0, 1), (16, 6, 4), (8, 4, 2))
    )
    row = bytes(1 + -(-10_000 * samples * depth // 8))
    packer = zlib.compressobj(1)
    rows = b"".join(packer.compress(row) for _ in range(9_990)) + packer.flush()
    header = struct.pack(">IIBBBBB", 10_000, 9_990, depth, colour, 0, 0, 0)
    return _png()[:8] + _chunk(b"IHDR", header) + _chunk(b"IDAT", rows) + _chunk(b"IEND", b"")


def _webp_canvas(dice: random.Random) -> bytes:
    whole = bytearray(_webp())
    at = 24
    whole[at : at + 6] = dice.choice(
        (b"\xff\x3f\0\xff\x3f\0", b"\xff\xff\xff\xff\xff\xff", bytes(6), b"\x0f\x27\0\x0e\x27\0")
    )
    return bytes(whole)


def _webp_chunks(dice: random.Random) -> bytes:
    whole = bytearray(_webp())
    whole += (dice.choice((b"abcd", b"ANMF", b"EXIF")) + bytes(4)) * _count(dice)
    whole[4:8] = struct.pack("<I", len(whole) - 8)
    return bytes(whole)


def _nested_boxes(dice: random.Random) -> bytes:
    inner = bytearray()
    for _ in range(dice.choice((3, 30, 900))):
        inner[:0] = struct.pack(">I4s", 8 + len(inner), dice.choice((b"moov", b"meta", b"trak", b"iprp", b"ipco")))
    first = int.from_bytes(_heic()[:4], "big")
    return _heic()[:first] + bytes(inner) + _heic()[first:]


def _heic_size(dice: random.Random) -> bytes:
    """The picture states another size than its pixels have."""
    whole = bytearray(_heic())
    at = whole.find(b"ispe") + 8
    whole[at : at + 8] = struct.pack(">II", *(dice.choice((0, 1, 512, 9_999, 30_000, 2**32 - 1)) for _ in range(2)))
    return bytes(whole)


def _polyglot(dice: random.Random) -> bytes:
    """A photo that is a web page, a script or an archive as well."""
    page = b"<html><script>alert(1)</script></html><?php system($_GET[0]); ?>"
    if dice.random() < 0.5:
        archive = BytesIO(_jpeg())
        with ZipFile(archive, "a") as zipped:
            zipped.writestr("evil.html", page)
        return archive.getvalue()
    photo = _whole(dice)
    return dice.choice((photo + page, b"%PDF-1.7\n" + photo, b"GIF89a/*" + page + photo, b"BM" + photo, page + photo))


DECOYS: tuple[tuple[str, Make], ...] = (
    ("nothing", lambda _: b""),
    ("noise", lambda dice: dice.randbytes(dice.randrange(1, 5000))),
    (
        "noise with a signature",
        lambda d: d.choice((_jpeg(), _png(), _heic(), _webp()))[: d.randrange(4, 40)] + d.randbytes(900),
    ),
    ("tiff of many entries", _many_entries),
    ("tiff in a tile", _tile),
    ("tiff in strips", _strip),
    ("tiff of many directories", _directories),
    ("exif bomb", _exif),
    ("jpeg of many comments", lambda dice: _jpeg_head(b"\xff\xfe\0\2" * _count(dice))),
    ("jpeg of many restarts", lambda dice: _jpeg_head(b"\xff\xd0" * _count(dice, 5_000_000))),
    ("jpeg of padding", lambda dice: _jpeg_head(dice.choice((b"\xff", b"\0", b"\xff\0")) * _count(dice, 5_000_000))),
    ("jpeg of many scans", _repeated_scans),
    ("jpeg of another size", _claimed_jpeg_size),
    ("png of many chunks", lambda dice: _png()[:33] + _chunk(b"abCd", b"") * _count(dice) + _png()[33:]),
    ("png of many texts", _png_texts),
    ("png of another size", _png_size),
    ("webp of another canvas", _webp_canvas),
    ("webp of many chunks", _webp_chunks),
    ("heic of many boxes", lambda dice: _heic() + b"\0\0\0\x08free" * _count(dice)),
    ("heic of nested boxes", _nested_boxes),
    ("heic of another size", _heic_size),
    ("polyglot", _polyglot),
)
LARGE: tuple[tuple[str, Make], ...] = (
    ("as large as allowed", _large),
    ("scans of a large jpeg", _scans_of_a_large_picture),
)
