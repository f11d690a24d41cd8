"""What only the local folder has to promise: whole files on disk, links of its own, remedies for the folder."""

import os
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest

from fluxline.contracts.errors import ErrorCategory
from fluxline.storage import InvalidKey, SignatureExpired, SignatureInvalid, SizeMismatch, StorageDenied, StorageFull
from fluxline.storage.files import storage_error, translated
from fluxline.storage.local import LocalStorage

NOW = 1_800_000_000.0
SECRET = b"0123456789abcdef0123456789abcdef"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "storage"


@pytest.fixture
def storage(root: Path) -> LocalStorage:
    return LocalStorage(root, "http://127.0.0.1:8000/", SECRET, clock=lambda: NOW)


def params_of(link: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(link).query))


def test_a_link_has_the_documented_shape_and_the_signature_of_rfc_2104(storage: LocalStorage) -> None:
    link = storage.signed_url("uploads/ada/a.zip", expires_s=60, filename="photos & more.zip")
    assert link == (
        "http://127.0.0.1:8000/storage/uploads/ada/a.zip?method=GET&expires=1800000060"
        "&filename=photos+%26+more.zip"
        # computed with: openssl dgst -sha256 -hmac
        "&signature=3d7fa74378d6814ce69a201239fa8e8c8c4229da14bbd229bc09fdbb220f4fe8"
    )


def test_a_link_is_valid_until_its_last_second(storage: LocalStorage) -> None:
    params = params_of(storage.signed_url("a", expires_s=60))
    storage.verify_signature("a", "GET", params, NOW + 59.9)
    with pytest.raises(SignatureExpired) as raised:
        storage.verify_signature("a", "GET", params, NOW + 60)
    assert raised.value.category is ErrorCategory.AUTHENTICATION


@pytest.mark.parametrize(
    "changed",
    [
        {"expires": "1900000000"},
        {"expires": "soon"},
        {"filename": "other.exe"},
        {"signature": ""},
        {"signature": "é" * 64},
        {"signature": "0" * 64},
    ],
)
def test_a_changed_link_is_refused(storage: LocalStorage, changed: dict[str, str]) -> None:
    params = params_of(storage.signed_url("a", expires_s=60, filename="a.zip"))
    with pytest.raises(SignatureInvalid):
        storage.verify_signature("a", "GET", params | changed, NOW)


def test_a_link_of_another_secret_or_for_another_method_or_key_is_refused(root: Path, storage: LocalStorage) -> None:
    params = params_of(storage.signed_url("a", expires_s=60))
    other = LocalStorage(root, "http://127.0.0.1:8000", SECRET[::-1])
    with pytest.raises(SignatureInvalid):
        other.verify_signature("a", "GET", params, NOW)
    for key, method in (("b", "GET"), ("a", "PUT"), ("a", "DELETE")):
        with pytest.raises(SignatureInvalid):
            storage.verify_signature(key, method, params, NOW)
    with pytest.raises(SignatureInvalid):
        storage.verify_signature("a", "GET", {}, NOW)
    with pytest.raises(InvalidKey):
        storage.verify_signature("../a", "GET", params, NOW)


def test_a_link_survives_any_filename(storage: LocalStorage) -> None:
    for name in ("ä\n\r\x00🦊", "\ud800", "a" * 5000, "../../x"):
        params = params_of(storage.signed_url("a", expires_s=60, filename=name))
        storage.verify_signature("a", "GET", params, NOW)


@pytest.mark.parametrize("changed", [{"size": "5"}, {"size": ""}, {"expires": "1900000000"}])
def test_a_changed_link_for_writing_is_refused(storage: LocalStorage, changed: dict[str, str]) -> None:
    params = params_of(storage.signed_url("a", method="PUT", expires_s=60, size_bytes=4))
    storage.verify_signature("a", "PUT", params, NOW)
    with pytest.raises(SignatureInvalid):
        storage.verify_signature("a", "PUT", params | changed, NOW)


def test_a_file_name_is_no_size(storage: LocalStorage) -> None:
    reading = params_of(storage.signed_url("a", expires_s=60, filename="4"))
    with pytest.raises(SignatureInvalid):
        storage.verify_signature("a", "PUT", reading | {"size": "4"}, NOW)


async def test_what_comes_in_is_seen_when_it_is_complete(root: Path, storage: LocalStorage) -> None:
    await storage.put("a/b", b"before", content_type="text/plain")

    async def chunks() -> AsyncIterator[bytes]:
        yield b"af"
        assert await storage.read("a/b", max_bytes=10) == b"before"
        assert len(list((root / ".incoming").iterdir())) == 1
        yield b"ter"

    assert (await storage.receive("a/b", chunks(), size_bytes=5)).size_bytes == 5
    assert await storage.read("a/b", max_bytes=10) == b"after"
    assert list((root / ".incoming").iterdir()) == []


async def test_what_does_not_come_in_whole_leaves_nothing_behind(root: Path, storage: LocalStorage) -> None:
    async def breaks_off() -> AsyncIterator[bytes]:
        yield b"part"
        raise ConnectionResetError

    async def sends(*chunks: bytes) -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    with pytest.raises(ConnectionResetError):
        await storage.receive("a/b", breaks_off(), size_bytes=5)
    for chunks in ([b"part"], [b"part", b"and more"], []):
        with pytest.raises(SizeMismatch) as raised:
            await storage.receive("a/b", sends(*chunks), size_bytes=5)
        assert raised.value.category is ErrorCategory.VALIDATION
    assert [path for path in root.rglob("*") if path.is_file()] == []


def test_a_short_secret_is_refused(root: Path) -> None:
    with pytest.raises(ValueError, match="at least 32 bytes"):
        LocalStorage(root, "http://127.0.0.1:8000", b"short")


async def test_a_source_that_breaks_off_leaves_nothing_behind(root: Path, storage: LocalStorage) -> None:
    class Breaks(Path(__file__).__class__):  # type: ignore[misc]
        def open(self, *_args: object, **_kwargs: object) -> object:
            return BreakingFile()

    await storage.put("a/b", b"before", content_type="text/plain")
    with pytest.raises(StorageFull):
        await storage.put("a/b", Breaks("any"), content_type="text/plain")
    assert await storage.read("a/b", max_bytes=10) == b"before"
    assert sorted(path.name for path in root.rglob("*") if path.is_file()) == ["b"]


class BreakingFile:
    """A file whose disk is full after the first part."""

    def __init__(self) -> None:
        self._parts: Iterator[bytes] = iter([b"part"])

    def __enter__(self) -> "BreakingFile":
        return self

    def __exit__(self, *_exc: object) -> None:
        return None

    def read(self, _size: int) -> bytes:
        for part in self._parts:
            return part
        raise OSError(28, "No space left on device")


async def test_deleting_the_last_file_of_a_folder_removes_the_folder(root: Path, storage: LocalStorage) -> None:
    await storage.put("uploads/ada/1", b"x", content_type="text/plain")
    await storage.put("uploads/bob/1", b"x", content_type="text/plain")
    await storage.delete("uploads/ada/1")
    assert [path.name for path in (root / "uploads").iterdir()] == ["bob"]


async def test_a_folder_cannot_be_overwritten_by_a_file(storage: LocalStorage) -> None:
    await storage.put("a/b", b"x", content_type="text/plain")
    for key in ("a", "a/b/c"):
        with pytest.raises(InvalidKey, match="folder of other files"):
            await storage.put(key, b"y", content_type="text/plain")


def test_what_a_killed_process_left_half_written_goes_after_a_day(root: Path, storage: LocalStorage) -> None:
    old, young = root / ".incoming" / "old", root / ".incoming" / "young"
    old.touch()
    young.touch()
    os.utime(old, (time.time() - 25 * 3600,) * 2)
    LocalStorage(root, "http://127.0.0.1:8000", SECRET)
    assert [path.name for path in (root / ".incoming").iterdir()] == ["young"]


def test_a_root_that_cannot_be_a_folder_is_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InvalidKey):
        LocalStorage(tmp_path / "file" / "storage", "http://127.0.0.1:8000", SECRET)


def test_errors_of_the_file_system_are_told_apart_by_their_number() -> None:
    denied = storage_error(PermissionError(13, "Permission denied"))
    assert isinstance(denied, StorageDenied)
    assert "STORAGE_DIR" in denied.hint
    assert storage_error(OSError(5, "Input/output error")).category is ErrorCategory.SERVICE_ERROR
    with pytest.raises(StorageFull), translated():
        raise OSError(28, "No space left on device")
