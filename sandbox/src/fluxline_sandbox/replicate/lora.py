"""A loadable FLUX.1 LoRA of a given rank that changes nothing: its `lora_B` matrices are zero.

Keys and shapes are those of a LoRA over every linear layer of FLUX.1's transformer in diffusers naming:
`lora_A` is [rank, inputs], `lora_B` is [outputs, rank], half precision. All 57 blocks at rank 16 take 172 MB.
File format: 8 bytes little-endian header length, JSON header, tensor bytes (huggingface.co/docs/safetensors).
"""

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

SINGLE_BLOCKS = 38
_WIDTH, _MLP = 3072, 12288
_ATTENTION = ("to_q", "to_k", "to_v")
_CONTEXT = ("add_q_proj", "add_k_proj", "add_v_proj", "to_add_out", "to_out.0")
_SINGLE = {
    **{f"attn.{name}": (_WIDTH, _WIDTH) for name in _ATTENTION},
    "norm.linear": (_WIDTH, 3 * _WIDTH),
    "proj_mlp": (_WIDTH, _MLP),
    "proj_out": (_WIDTH + _MLP, _WIDTH),
}
_DOUBLE = {
    **{f"attn.{name}": (_WIDTH, _WIDTH) for name in (*_ATTENTION, *_CONTEXT)},
    **{f"{name}.linear": (_WIDTH, 6 * _WIDTH) for name in ("norm1", "norm1_context")},
    **{f"{name}.net.0.proj": (_WIDTH, _MLP) for name in ("ff", "ff_context")},
    **{f"{name}.net.2": (_MLP, _WIDTH) for name in ("ff", "ff_context")},
}
_BYTES = 2
_SCALE = 0.01


def _layers(blocks: int) -> Iterator[tuple[str, int, int]]:
    """(name, inputs, outputs) of the adapted layers: single blocks first, then double ones."""
    for index in range(blocks):
        single = index < SINGLE_BLOCKS
        kind, number = ("single_transformer_blocks", index) if single else ("transformer_blocks", index - SINGLE_BLOCKS)
        for layer, (inputs, outputs) in (_SINGLE if single else _DOUBLE).items():
            yield f"transformer.{kind}.{number}.{layer}", inputs, outputs


def _tensors(rank: int, blocks: int) -> Iterator[tuple[str, tuple[int, int]]]:
    for name, inputs, outputs in _layers(blocks):
        yield f"{name}.lora_A.weight", (rank, inputs)
        yield f"{name}.lora_B.weight", (outputs, rank)


def header(rank: int, blocks: int, metadata: dict[str, str]) -> bytes:
    """The length prefix and the JSON header, padded to 8 bytes."""
    described: dict[str, Any] = {"__metadata__": {"format": "pt", "fluxline_sandbox": "untrained", **metadata}}
    offset = 0
    for name, shape in _tensors(rank, blocks):
        end = offset + shape[0] * shape[1] * _BYTES
        described[name] = {"dtype": "F16", "shape": list(shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(described, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def payload(folder: Path, rank: int, blocks: int) -> Path:
    """The tensor bytes as a file in `folder`, made once for each rank and number of blocks."""
    target = folder / f"lora-r{rank}-b{blocks}.bin"
    if target.exists():
        return target
    rng = np.random.default_rng(rank)
    handle, name = tempfile.mkstemp(dir=folder, suffix=".part")
    with os.fdopen(handle, "wb") as file:
        for key, shape in _tensors(rank, blocks):
            noise = key.endswith("lora_A.weight")
            values = rng.standard_normal(shape, dtype=np.float32) * _SCALE if noise else np.zeros(shape)
            file.write(values.astype("<f2").tobytes())
    return Path(name).replace(target)
