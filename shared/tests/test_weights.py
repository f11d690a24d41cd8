"""The provider's tar of weights, as good ones and hostile ones come."""

import io
import json
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fluxline.contracts.errors import ErrorCategory
from fluxline.weights import (
    ArchiveTooLarge,
    MalformedWeights,
    SeveralWeights,
    UnreadableArchive,
    UnsafeMember,
    WeightsError,
    WeightsLimits,
    WeightsMissing,
    open_weights,
)

FOLDER = "output/flux_train_replicate"
LIMITS = WeightsLimits(members=20, total_bytes=1_000_000, min_weights_bytes=64, text_bytes=100)
Files = dict[str, bytes]


def safetensors(header: object = None, data: bytes = bytes(64), *, length: int | None = None) -> bytes:
    if header is None:
        header = {
            "__metadata__": {"trigger_word": "TOK"},
            "b": {"dtype": "F16", "shape": [2, 8], "data_offsets": [32, 64]},
            "a": {"dtype": "F16", "shape": [8, 2], "data_offsets": [0, 32]},
        }
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def tensor(begin: int, end: int, **changes: object) -> dict[str, object]:
    return {"dtype": "U8", "shape": [end - begin], "data_offsets": [begin, end]} | changes


def info(name: str, size: int = 0, kind: bytes = tarfile.REGTYPE, **changes: object) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.size, made.type = size, kind
    for field, value in changes.items():
        setattr(made, field, value)
    return made


@pytest.fixture
def tar(tmp_path: Path) -> Callable[..., Path]:
    """Writes a tar of plain files, and of `extra` members with nothing in them."""

    def write(files: Files, *extra: tarfile.TarInfo, format: int = tarfile.PAX_FORMAT, mtime: float = 0.5) -> Path:
        path = tmp_path / "trained_model.tar"
        with tarfile.open(path, "w", format=format) as archive:
            for name, content in files.items():
                archive.addfile(info(name, len(content), mtime=mtime), io.BytesIO(content))
            for member in extra:
                archive.addfile(member)
        return path

    return write


GOOD: Files = {
    f"{FOLDER}/lora.safetensors": safetensors(),
    f"{FOLDER}/config.yaml": b"job: custom_job\n",
    f"{FOLDER}/captions/01.txt": b"a photo of TOK",
    f"{FOLDER}/captions/02.txt": "a photo of TOK in Zürich".encode(),
    f"{FOLDER}/optimizer.pt": b"left over",
}


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_the_providers_archive_is_read_in_every_tar_format(tar: Callable[..., Path], format: int) -> None:
    archive = open_weights(tar(GOOD, info(FOLDER, kind=tarfile.DIRTYPE), format=format, mtime=7), LIMITS)
    assert str(archive.weights.name) == f"{FOLDER}/lora.safetensors"
    assert (set(archive.header.tensors), archive.header.metadata) == ({"a", "b"}, {"trigger_word": "TOK"})
    assert len(archive.captions) == 2


def test_weights_config_and_captions_come_out_and_nothing_else(tar: Callable[..., Path], tmp_path: Path) -> None:
    extracted = open_weights(tar(GOOD), LIMITS).extract(tmp_path / "out")
    assert extracted.weights.read_bytes() == GOOD[f"{FOLDER}/lora.safetensors"]
    assert extracted.config is not None
    assert extracted.config.read_bytes() == b"job: custom_job\n"
    written = {str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*") if p.is_file()}
    assert written == {"lora.safetensors", "config.yaml", "captions/01.txt", "captions/02.txt"}


def test_the_fast_trainers_archive_of_one_file_is_read(tar: Callable[..., Path], tmp_path: Path) -> None:
    extracted = open_weights(tar({"flux-lora/flux-lora.safetensors": safetensors()}), LIMITS).extract(tmp_path / "out")
    assert extracted.weights.name == "lora.safetensors"
    assert (extracted.config, extracted.captions) == (None, ())


@pytest.mark.parametrize("format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_and_foreign_names_are_read(tar: Callable[..., Path], format: int) -> None:
    name = f"{'folder/' * 30}größe.safetensors"
    assert str(open_weights(tar({name: safetensors()}, format=format), LIMITS).weights.name) == name


def test_captions_get_names_that_are_plain_and_distinct(tar: Callable[..., Path], tmp_path: Path) -> None:
    names = ["a/captions/x.txt", "b/captions/X.txt", "captions/.txt", "captions/sp ace.txt", "captions/caption-001.txt"]
    files = {"w.safetensors": safetensors()} | {name: name.encode() for name in names}
    captions = open_weights(tar(files), LIMITS).extract(tmp_path / "out").captions
    assert len({path.name.lower() for path in captions}) == len(captions) == 4  # ".txt" has no suffix
    assert {path.read_bytes().decode() for path in captions} == set(names) - {"captions/.txt"}


@pytest.mark.parametrize(
    "member",
    [
        info("../evil.txt"),
        info("a/../../evil.txt"),
        info("/etc/passwd"),
        info("a\\..\\b"),
        info("link", kind=tarfile.SYMTYPE, linkname="/etc/passwd"),
        info("hard", kind=tarfile.LNKTYPE, linkname=f"{FOLDER}/lora.safetensors"),
        info("device", kind=tarfile.CHRTYPE),
        info("block", kind=tarfile.BLKTYPE),
        info("pipe", kind=tarfile.FIFOTYPE),
        info("unknown", kind=b"Z"),
        info("sparse", kind=tarfile.GNUTYPE_SPARSE),
        info("sparse", pax_headers={"GNU.sparse.major": "1"}),
        info("fine", pax_headers={"path": "../evil.txt"}),
    ],
    ids=lambda member: f"{member.name}-{member.type!r}",
)
def test_anything_but_a_plain_file_inside_the_archive_is_refused(
    tar: Callable[..., Path], member: tarfile.TarInfo
) -> None:
    with pytest.raises(UnsafeMember):
        open_weights(tar(GOOD, member), LIMITS)


def test_too_many_members_are_refused(tar: Callable[..., Path]) -> None:
    with pytest.raises(ArchiveTooLarge):
        open_weights(tar({f"{n}.txt": b"" for n in range(30)}, mtime=0), LIMITS)


def test_too_much_content_is_refused(tar: Callable[..., Path]) -> None:
    with pytest.raises(ArchiveTooLarge):
        open_weights(tar({"big.bin": bytes(1_000_001)}), LIMITS)


def test_a_text_that_is_too_long_is_refused(tar: Callable[..., Path]) -> None:
    with pytest.raises(ArchiveTooLarge, match="too long"):
        open_weights(tar(GOOD | {f"{FOLDER}/captions/03.txt": bytes(101)}), LIMITS)


def test_a_name_of_impossible_length_is_refused_without_being_read(tar: Callable[..., Path]) -> None:
    with pytest.raises(ArchiveTooLarge, match="name"):
        open_weights(tar({"n" * 100_000: b""}), LIMITS)


def test_an_archive_without_weights_is_refused(tar: Callable[..., Path]) -> None:
    with pytest.raises(WeightsMissing):
        open_weights(tar({"readme.txt": b"nothing here"}), LIMITS)


def test_weights_too_small_to_be_real_do_not_count(tar: Callable[..., Path]) -> None:
    with pytest.raises(WeightsMissing) as refused:
        open_weights(tar({"lora.safetensors": b"tiny"}), LIMITS)
    assert refused.value.context["largest_bytes"] == 4


def test_two_weights_are_refused_by_name(tar: Callable[..., Path]) -> None:
    with pytest.raises(SeveralWeights) as refused:
        open_weights(tar({"a.safetensors": safetensors(), "b.safetensors": safetensors()}), LIMITS)
    assert refused.value.context["names"] == "'a.safetensors', 'b.safetensors'"


BAD_WEIGHTS = {
    "header_longer_than_the_file": safetensors(length=10_000),
    "header_of_impossible_length": b"\xff" * 100,
    "no_header": bytes(100),
    "no_json": safetensors(b"{nonsense" + b" " * 40),
    "deep_json": safetensors(b"[" * 50_000),
    "a_list": safetensors([1, 2, 3]),
    "no_tensors": safetensors({"__metadata__": {}}, b""),
    "data_cut_off": safetensors(data=bytes(60)),
    "data_too_long": safetensors(data=bytes(68)),
    "overlap": safetensors({"a": tensor(0, 40), "b": tensor(30, 64)}),
    "gap": safetensors({"a": tensor(0, 30), "b": tensor(40, 64)}),
    "backwards": safetensors({"a": tensor(64, 0, shape=[64])}),
    "negative": safetensors({"a": tensor(-1, 63)}),
    "wrong_shape": safetensors({"a": tensor(0, 64, shape=[63])}),
    "negative_shape": safetensors({"a": tensor(0, 64, shape=[-8, -8])}),
    "many_dimensions": safetensors({"a": tensor(0, 64, shape=[1] * 100_000)}),
    "no_tensor": safetensors({"a": "tensor", "b": tensor(0, 64)}),
}


@pytest.mark.parametrize("content", BAD_WEIGHTS.values(), ids=BAD_WEIGHTS.keys())
def test_weights_that_contradict_their_header_are_refused(tar: Callable[..., Path], content: bytes) -> None:
    content += bytes(max(0, 64 - len(content)))
    with pytest.raises(MalformedWeights):
        open_weights(tar({"lora.safetensors": content}), LIMITS)


def test_a_type_that_we_do_not_know_is_no_error(tar: Callable[..., Path]) -> None:
    content = safetensors({"a": tensor(0, 64, dtype="F4_NEW", shape=[128])})
    assert open_weights(tar({"lora.safetensors": content}), LIMITS).header.tensors == ("a",)


def test_an_archive_cut_at_any_place_is_refused_or_complete(tar: Callable[..., Path], tmp_path: Path) -> None:
    whole = tar(GOOD, format=tarfile.GNU_FORMAT, mtime=0).read_bytes()
    begin = open_weights(tmp_path / "trained_model.tar", LIMITS).weights
    cut = tmp_path / "cut.tar"
    for length in range(0, begin.offset + begin.size, 97):
        cut.write_bytes(whole[:length])
        with pytest.raises(WeightsError):
            open_weights(cut, LIMITS)


def test_a_damaged_header_is_refused(tar: Callable[..., Path], tmp_path: Path) -> None:
    path = tar(GOOD)
    path.write_bytes(bytes(byte ^ 0xFF for byte in path.read_bytes()[:64]) + path.read_bytes()[64:])
    with pytest.raises(UnreadableArchive):
        open_weights(path, LIMITS)


@pytest.mark.parametrize("content", [b"", bytes(10_240), b"PK\x03\x04" * 400, b"<html>not found</html>"])
def test_what_is_no_tar_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "trained_model.tar"
    path.write_bytes(content)
    with pytest.raises(UnreadableArchive):
        open_weights(path, LIMITS)


def test_a_compressed_archive_is_not_unpacked(tar: Callable[..., Path], tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "bomb.tar.gz", "w:gz") as archive:
        archive.addfile(info("lora.safetensors", 500_000), io.BytesIO(bytes(500_000)))
    with pytest.raises(UnreadableArchive):
        open_weights(tmp_path / "bomb.tar.gz", LIMITS)


def test_a_refusal_is_a_file_error_with_a_hint(tar: Callable[..., Path]) -> None:
    with pytest.raises(WeightsError) as refused:
        open_weights(tar({"readme.txt": b""}), LIMITS)
    assert refused.value.category is ErrorCategory.FILE_ERROR
    assert "train again" in refused.value.hint


def raw(kind: bytes, body: bytes) -> bytes:
    """An extension header and its body, as no writer makes them."""
    return info("x", len(body), kind).tobuf(tarfile.GNU_FORMAT) + body + bytes(-len(body) % tarfile.BLOCKSIZE)


def test_a_length_of_thousands_of_digits_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "trained_model.tar"
    path.write_bytes(raw(tarfile.XHDTYPE, b"9" * 60_000 + b" path=x\n"))
    with pytest.raises(UnreadableArchive, match="extended header"):
        open_weights(path, LIMITS)


def test_extended_headers_full_of_tiny_records_are_refused_while_they_are_few(tmp_path: Path) -> None:
    path = tmp_path / "trained_model.tar"
    path.write_bytes(raw(tarfile.XHDTYPE, b"4 =\n" * 16_000) * 1_900)
    started = time.process_time()
    with pytest.raises(ArchiveTooLarge, match="name"):
        open_weights(path)
    assert time.process_time() - started < 3


def test_a_tensor_that_is_described_twice_is_refused(tar: Callable[..., Path]) -> None:
    one, other = json.dumps(tensor(0, 64)), json.dumps(tensor(0, 32))
    content = safetensors(f'{{"a": {other}, "a": {one}}}'.encode())
    with pytest.raises(MalformedWeights):
        open_weights(tar({"lora.safetensors": content}), LIMITS)


def test_a_header_larger_than_any_lora_has_is_refused_before_it_is_parsed(tar: Callable[..., Path]) -> None:
    content = safetensors(b'{"a":[' + b"[]," * 2_000_000 + b"[]]}")
    with pytest.raises(MalformedWeights, match="impossible length"):
        open_weights(tar({"lora.safetensors": content}), WeightsLimits())
