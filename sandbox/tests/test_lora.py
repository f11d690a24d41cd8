"""The made-up LoRA, without a server."""

from pathlib import Path

from safetensors import safe_open

from fluxline_sandbox.replicate import lora


def test_all_blocks_at_rank_16_weigh_what_a_real_lora_weighs() -> None:
    tensors = lora.header(16, 57, {})
    assert b"transformer.transformer_blocks.18.ff_context.net.2.lora_B.weight" in tensors
    assert b'"data_offsets":[' in tensors
    last = int(tensors.rsplit(b",", 1)[1].split(b"]")[0])
    assert 171_000_000 < last < 173_000_000


def test_the_bytes_are_made_once_for_each_rank_and_size(tmp_path: Path) -> None:
    first = lora.payload(tmp_path, 2, 39)
    stamp = first.stat().st_mtime_ns
    assert lora.payload(tmp_path, 2, 39) == first
    assert first.stat().st_mtime_ns == stamp
    path = tmp_path / "lora.safetensors"
    path.write_bytes(lora.header(2, 39, {"trigger_word": "TÖK"}) + first.read_bytes())
    with safe_open(path, framework="numpy") as weights:
        assert len(weights.keys()) == 38 * 6 * 2 + 14 * 2
        assert weights.metadata() == {"format": "pt", "fluxline_sandbox": "untrained", "trigger_word": "TÖK"}
        for name in weights.keys():  # noqa: SIM118
            assert 2 in weights.get_slice(name).get_shape()
