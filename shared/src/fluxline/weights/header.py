"""The header of a .safetensors file: eight bytes of length (little-endian), JSON, then the tensors' bytes.

Format: https://huggingface.co/docs/safetensors#format
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, BinaryIO

from fluxline.weights.errors import MalformedWeights

MAX_HEADER_BYTES = 4 * 1024 * 1024  # a LoRA has some 200 KB; as Python objects it takes up to thirty times its size
MAX_DIMENSIONS = 16
_LENGTH_BYTES = 8
_ITEM_BYTES: Mapping[str, int] = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2"), 1),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 2),
    **dict.fromkeys(("U32", "I32", "F32"), 4),
    **dict.fromkeys(("U64", "I64", "F64"), 8),
}


@dataclass(frozen=True)
class SafetensorsHeader:
    """What the file says of itself: its tensors' names, and the free `metadata` of whoever wrote it."""

    tensors: tuple[str, ...]
    metadata: Mapping[str, str]


def read_header(file: BinaryIO, offset: int, size: int) -> SafetensorsHeader:
    """The header of the .safetensors file that is `size` bytes at `offset` in `file`.

    Raises MalformedWeights unless the header parses, there are tensors, and they fill the file exactly.
    """
    file.seek(offset)
    length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
    if not 2 <= length <= min(MAX_HEADER_BYTES, size - _LENGTH_BYTES):
        raise MalformedWeights("The .safetensors file states a header of impossible length.", header_bytes=length)
    described = _parsed(file.read(length))
    metadata = described.pop("__metadata__", None) or {}
    if not described or not isinstance(metadata, dict):
        raise MalformedWeights("The .safetensors file holds no tensors.")
    _check_layout(described, size - _LENGTH_BYTES - length)
    return SafetensorsHeader(tuple(described), {str(key): str(value) for key, value in metadata.items()})


def _parsed(text: bytes) -> dict[str, Any]:
    try:
        described = json.loads(text, object_pairs_hook=_distinct)
    except (ValueError, RecursionError) as error:
        raise MalformedWeights("The .safetensors file's header is no JSON.") from error
    if not isinstance(described, dict):
        raise MalformedWeights("The .safetensors file's header is no JSON object.")
    return described


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object, if each of its names comes once: readers differ in which of two they believe."""
    described = dict(pairs)
    if len(described) != len(pairs):
        raise ValueError("a name comes twice")
    return described


def _check_layout(described: dict[str, Any], data_bytes: int) -> None:
    """The tensors follow each other without gap or overlap, and the last one ends where the file does."""
    end = 0
    for begin, stop in sorted(_extent(name, tensor) for name, tensor in described.items()):
        if begin != end:
            raise MalformedWeights("The .safetensors file's tensors overlap or leave gaps.", offset=begin)
        end = stop
    if end != data_bytes:
        raise MalformedWeights(
            "The .safetensors file has not the size that its header states.", missing=end - data_bytes
        )


def _extent(name: str, tensor: Any) -> tuple[int, int]:
    """Where a tensor begins and ends; raises MalformedWeights when that is not what its type and shape take."""
    match tensor:
        case {"dtype": str(dtype), "shape": list(shape), "data_offsets": [int(begin), int(end)]}:
            if 0 <= begin <= end and _takes(dtype, shape, end - begin):
                return begin, end
    raise MalformedWeights("The .safetensors file describes an impossible tensor.", tensor=ascii(name)[:200])


def _takes(dtype: str, shape: list[Any], size: int) -> bool:
    """Whether such a tensor takes `size` bytes; a type unknown to us is not therefore wrong."""
    plain = len(shape) <= MAX_DIMENSIONS and all(type(length) is int and 0 <= length < 2**63 for length in shape)
    item_bytes = _ITEM_BYTES.get(dtype)
    return plain and (item_bytes is None or prod(shape) * item_bytes == size)
