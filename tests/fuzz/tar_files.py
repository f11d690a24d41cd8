"""Archives of weights that are damaged, forged or made to cost: `tar_file(seed, index)` is always the same archive."""

import gzip
import io
import json
import random
import struct
import tarfile
from collections.abc import Callable

FOLDER = "output/flux_train_replicate"
_BLOCK = tarfile.BLOCKSIZE
_NUMBERS = (b"0", b"-1", b"7777777777", b"77777777777", b"\x80" + b"\xff" * 11, b"\xff" * 12, b" ", b"9", b"")
_NAMES = (
    "../evil",
    "/tmp/evil",
    "a/../../evil",
    "..",
    ".",
    "",
    "a\\..\\b",
    "x\0y",
    "~root",
    "C:\\evil",
    "./a",
    "a//b",
    "n" * 99,
)
_KINDS = (*(bytes([kind]) for kind in b"01234567gxLKSVDANMX"), b"\0", b"Z", b"\xff")
Members = list[tuple[tarfile.TarInfo, bytes]]


def tar_file(seed: int, index: int) -> tuple[str, bytes]:
    """What it is, and its bytes: whole archives with one to five kinds of harm done to them."""
    dice = random.Random(f"{seed}/{index}")
    if dice.random() < 0.2:
        make = dice.choice(_DECOYS)
        return make.__name__.strip("_"), make(dice)
    members = _members(dice)
    for _ in range(dice.choice((0, 1, 1, 2))):
        dice.choice((_renamed, _retyped, _doubled, _recorded, _reweighted))(members, dice)
    content = _written(members, dice.choice((tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)))
    harms = [dice.choice((_header_forged, _bytes_mutated, _cut)) for _ in range(dice.choice((0, 0, 1, 1, 3)))]
    for harm in harms:
        content = harm(content, dice)
    return ", ".join(["tar", *(harm.__name__.strip("_") for harm in harms)]), content


def safetensors(described: object, data: bytes, length: int | None = None) -> bytes:
    """A .safetensors file with this header (bytes: as they are)."""
    text = described if isinstance(described, bytes) else json.dumps(described).encode()
    stated = len(text) if length is None else length
    return struct.pack("<Q", stated % 2**64) + text + data


def _weights(dice: random.Random) -> bytes:
    sizes = [dice.choice((0, 2, 64, 1000)) for _ in range(dice.randrange(1, 5))]
    described: dict[str, object] = {"__metadata__": {"trigger": "TOK"}}
    begin = 0
    for number, size in enumerate(sizes):
        described[f"t{number}"] = {"dtype": "U8", "shape": [size], "data_offsets": [begin, begin + size]}
        begin += size
    return safetensors(described, bytes(begin))


def _forged_weights(dice: random.Random) -> bytes:
    numbers = (0, 1, -1, 63, 64, 65, 2**31, 2**63, 2**64, 10**400, True, None, 0.5, "64", [], float("nan"))
    tensor: dict[str, object] = {
        "dtype": dice.choice(("U8", "F16", "F4_NEW", "", None, 7)),
        "shape": dice.choice(([64], [dice.choice(numbers)], [1] * 99, [2**40, 2**40], "64", None)),
        "data_offsets": dice.choice(([0, 64], [dice.choice(numbers), dice.choice(numbers)], [64], [], None)),
    }
    forms: tuple[Callable[[], bytes], ...] = (
        lambda: safetensors({"a": tensor}, bytes(64)),
        lambda: safetensors({"a": tensor, "__metadata__": dice.choice((None, [], {"k": {"k": 1}}, 7))}, bytes(64)),
        lambda: safetensors(b"[" * dice.choice((10, 5000, 200_000)), b""),
        lambda: safetensors(b'{"a":' * dice.choice((10, 5000, 200_000)), b""),
        lambda: safetensors(b'{"a":' + b"9" * dice.choice((10, 5000, 100_000)) + b"}", b""),
        lambda: safetensors(b'{"\\ud800":' + json.dumps(tensor).encode() + b"}", bytes(64)),
        lambda: safetensors({"a": tensor}, bytes(64), dice.choice((0, 1, 2, 2**31, 2**63, 2**64 - 1))),
        lambda: safetensors(dice.randbytes(100), bytes(64)),
    )
    return dice.choice(forms)()


def _members(dice: random.Random) -> Members:
    files = {
        f"{FOLDER}/lora.safetensors": _weights(dice) if dice.random() < 0.7 else _forged_weights(dice),
        f"{FOLDER}/config.yaml": b"job: custom_job\n",
        f"{FOLDER}/captions/01.txt": b"a photo of TOK",
        f"{FOLDER}/captions/{'long' * 40}.txt": b"a photo of TOK",
        f"{FOLDER}/größe.txt": b"",
    }
    return [(_info(name, len(content)), content) for name, content in files.items()]


def _info(name: str, size: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size = size
    return info


def _written(members: Members, format_: int) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format_) as tar:
        for info, content in members:
            try:
                tar.addfile(info, io.BytesIO(content))
            except (ValueError, UnicodeError):  # what this format cannot say
                continue
    return out.getvalue()


def _renamed(members: Members, dice: random.Random) -> None:
    info, _ = dice.choice(members)
    info.name = dice.choice(_NAMES) + dice.choice(("", "/captions/1.txt", "/lora.safetensors", "/config.json"))


def _retyped(members: Members, dice: random.Random) -> None:
    info, _ = dice.choice(members)
    info.type, info.linkname = dice.choice(_KINDS), dice.choice(("/etc/passwd", "../..", f"{FOLDER}/lora.safetensors"))


def _doubled(members: Members, dice: random.Random) -> None:
    member = dice.choice(members)
    members += [member] * dice.choice((1, 2, 50, 2500) if len(member[1]) < 5000 else (1, 2))


def _recorded(members: Members, dice: random.Random) -> None:
    """Extended headers that contradict the plain ones."""
    info, _ = dice.choice(members)
    records = {
        "path": dice.choice(_NAMES),
        "size": dice.choice(("-1", "0", "1e9", "٣", "9" * 30, "9" * 5000, " 1 ", "1_0", "")),
        "linkpath": "/etc/passwd",
        "GNU.sparse.major": "1",
        "hdrcharset": "BINARY",
        "comment": "x" * dice.choice((10, 60_000, 70_000)),
    }
    info.pax_headers = {key: records[key] for key in dice.sample(list(records), dice.randrange(1, 3))}


def _reweighted(members: Members, dice: random.Random) -> None:
    content = _forged_weights(dice)
    members.append((_info(dice.choice(("b.safetensors", f"{FOLDER}/lora.safetensors")), len(content)), content))


def _header_forged(content: bytes, dice: random.Random) -> bytes:
    """One header states something else, and its checksum is right."""
    data = bytearray(content)
    places = [at for at in range(0, len(data) - _BLOCK + 1, _BLOCK) if data[at + 257 : at + 262] == b"ustar"]
    if not places:
        return content
    at = dice.choice(places)
    field, width = dice.choice(((0, 100), (100, 8), (124, 12), (136, 12), (156, 1), (157, 100), (345, 155)))
    value = dice.choice((*_NUMBERS, *_KINDS, *(name.encode() for name in _NAMES)))[:width]
    data[at + field : at + field + width] = value.ljust(width, b"\0")
    data[at + 148 : at + 156] = b" " * 8
    data[at + 148 : at + 156] = b"%06o\0 " % sum(data[at : at + _BLOCK])
    return bytes(data)


def _bytes_mutated(content: bytes, dice: random.Random) -> bytes:
    data = bytearray(content)
    for _ in range(dice.choice((1, 5))):
        at = dice.randrange(len(data) or 1)
        data[at : at + dice.randrange(3)] = dice.randbytes(dice.randrange(3))
    return bytes(data)


def _cut(content: bytes, dice: random.Random) -> bytes:
    return content[: dice.randrange(len(content) + 1)]


def _raw_header(kind: bytes, size: int, name: str = "x") -> bytes:
    info = _info(name, size)
    info.type = kind
    return info.tobuf(tarfile.GNU_FORMAT)


def _noise(dice: random.Random) -> bytes:
    return dice.randbytes(dice.choice((0, 1, 511, 512, 5000)))


def _zeros(dice: random.Random) -> bytes:
    return bytes(dice.choice((0, 512, 1024, 10_240, 2**20)))


def _compressed(dice: random.Random) -> bytes:
    return gzip.compress(bytes(dice.choice((1000, 50 * 2**20))))


def _pax_bomb(dice: random.Random) -> bytes:
    """Thousands of extended headers, each full of the smallest records."""
    body = b"4 =\n" * 16_000 if dice.random() < 0.5 else b"9" * 60_000 + b" x=y\n"
    block = _raw_header(dice.choice((b"x", b"g")), len(body)) + body + bytes(-len(body) % _BLOCK)
    return block * dice.choice((1, 20, 1900))


def _long_names(dice: random.Random) -> bytes:
    body = b"n/" * dice.choice((10, 30_000, 32_768, 1_000_000))
    return (_raw_header(b"L", len(body)) + body + bytes(-len(body) % _BLOCK)) * dice.choice((1, 30))


def _many_headers(dice: random.Random) -> bytes:
    return _raw_header(dice.choice((b"0", b"5", b"g")), 0) * dice.choice((100, 1999, 2001, 50_000))


def _endless_header(dice: random.Random) -> bytes:
    """A .safetensors whose header is as long as may be, and made of the smallest JSON values."""
    text = b'{"a":[' + b"[]," * dice.choice((1000, 1_300_000, 9_000_000)) + b"[]]}"
    weights = safetensors(text, bytes(64))
    return _written([(_info("lora.safetensors", len(weights)), weights)], tarfile.GNU_FORMAT)


_DECOYS = (_noise, _zeros, _compressed, _pax_bomb, _long_names, _many_headers, _endless_header)
