"""Which storage the environment chooses, and what an operator reads when it does not fit."""

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from fluxline.runtime.settings import EX_CONFIG, load
from fluxline.storage import StorageSettings, make_storage
from fluxline.storage.local import LocalStorage

R2 = {
    "CLOUDFLARE_R2_ACCESS_KEY_ID": "key",
    "CLOUDFLARE_R2_SECRET_ACCESS_KEY": "hush-hush",
    "CLOUDFLARE_R2_BUCKET": "photos",
    "CLOUDFLARE_R2_ENDPOINT": "https://account.r2.cloudflarestorage.com",
}
LOCAL = {"STORAGE_DIR": "files", "STORAGE_PUBLIC_URL": "http://127.0.0.1:8000", "STORAGE_SECRET": "s" * 32}


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in (*R2, *LOCAL, "CLOUDFLARE_R2_PUBLIC_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def settings_of(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> StorageSettings:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return StorageSettings()


async def test_a_folder_is_used_when_only_a_folder_is_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    storage = make_storage(settings_of(monkeypatch, LOCAL | {"CLOUDFLARE_R2_BUCKET": ""}))
    assert isinstance(storage, LocalStorage)
    await storage.check()
    await storage.close()
    assert (tmp_path / "files").is_dir()


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://account.r2.cloudflarestorage.com",
        "account.r2.cloudflarestorage.com",
        " https://account.r2.cloudflarestorage.com/ ",
        "https://account.r2.cloudflarestorage.com/photos",
    ],
)
async def test_r2_is_used_when_it_is_set_however_its_endpoint_was_copied(
    monkeypatch: pytest.MonkeyPatch, endpoint: str
) -> None:
    storage = make_storage(settings_of(monkeypatch, LOCAL | R2 | {"CLOUDFLARE_R2_ENDPOINT": endpoint}))
    link = storage.signed_url("a.zip", expires_s=60)
    await storage.close()
    assert link.startswith("https://account.r2.cloudflarestorage.com/photos/a.zip?")
    assert "%2Fauto%2Fs3%2Faws4_request" in link


@pytest.mark.parametrize("missing", R2)
def test_a_missing_variable_of_r2_is_named_with_its_remedy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], missing: str
) -> None:
    for name in R2.keys() - {missing}:
        monkeypatch.setenv(name, R2[name])
    with pytest.raises(SystemExit) as raised:
        load(StorageSettings)
    printed = capsys.readouterr().err
    assert raised.value.code == EX_CONFIG
    assert f"{missing} is not set → set it to" in printed
    assert "hush-hush" not in printed


@pytest.mark.parametrize("missing", ["STORAGE_PUBLIC_URL", "STORAGE_SECRET"])
def test_a_missing_variable_of_the_folder_is_named(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    with pytest.raises(ValidationError, match=f"{missing} is not set → set it to"):
        settings_of(monkeypatch, {name: value for name, value in LOCAL.items() if name != missing})


def test_no_storage_at_all_says_what_to_set() -> None:
    with pytest.raises(ValidationError, match=r"no storage is configured → set CLOUDFLARE_R2_ENDPOINT, .*STORAGE_DIR"):
        StorageSettings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CLOUDFLARE_R2_ENDPOINT", "ftp://account"),
        ("CLOUDFLARE_R2_ENDPOINT", "https://"),
        ("CLOUDFLARE_R2_ENDPOINT", "https://account.r2.cloudflarestorage.com/other"),
        ("CLOUDFLARE_R2_PUBLIC_URL", "photos.example"),
        ("STORAGE_PUBLIC_URL", "127.0.0.1:8000"),
        ("STORAGE_SECRET", "too short"),
    ],
)
def test_a_malformed_value_is_named_and_never_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str
) -> None:
    for key, given in (LOCAL | R2 | {name: value}).items():
        monkeypatch.setenv(key, given)
    with pytest.raises(SystemExit):
        load(StorageSettings)
    printed = capsys.readouterr().err
    assert f"  {name}: " in printed
    assert " → " in printed
    assert "too short" not in printed


def test_a_folder_does_not_need_boto3() -> None:
    program = "import sys, fluxline.storage; sys.exit('boto3' in sys.modules or 'botocore' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], timeout=60, check=False).returncode == 0
