"""Who is configured by which settings, and in what order."""

import pytest
from pydantic import ValidationError

from fluxline.storage.local import LocalStorage
from fluxline_generator.configured import configured
from fluxline_generator.settings import GeneratorSettings

REQUIRED = {
    "NATS_URL": "nats://127.0.0.1:4222",
    "DATABASE_URL": "postgresql://generator@127.0.0.1/fluxline",
    "REPLICATE_API_TOKEN": "r8_token",
}


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({}, ["replicate"]),
        ({"FAL_KEY": "a:b"}, ["replicate", "fal"]),
        ({"FAL_KEY": "", "TOGETHER_API_KEY": "k"}, ["replicate", "together"]),
        ({"FAL_KEY": "a:b", "TOGETHER_API_KEY": "k"}, ["replicate", "fal", "together"]),
        (
            {"FAL_KEY": "a:b", "TOGETHER_API_KEY": "k", "GENERATOR_PROVIDERS": "together, replicate"},
            ["together", "replicate"],
        ),
    ],
)
async def test_providers_with_a_key_are_asked_in_the_order_of_the_setting(
    monkeypatch: pytest.MonkeyPatch, storage: LocalStorage, given: dict[str, str], names: list[str]
) -> None:
    providers = configured(_settings(monkeypatch, given), storage)
    assert [provider.name for provider in providers] == names
    for provider in providers:
        await provider.close()


def test_nobody_to_ask_is_told_at_the_start(monkeypatch: pytest.MonkeyPatch, storage: LocalStorage) -> None:
    with pytest.raises(SystemExit, match="GENERATOR_PROVIDERS"):
        configured(_settings(monkeypatch, {"GENERATOR_PROVIDERS": "fal"}), storage)


@pytest.mark.parametrize("value", [" ", "fal,fal", "dalle", "replicate;fal"])
def test_who_is_unknown_or_named_twice_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    with pytest.raises(ValidationError, match="replicate, fal, together"):
        _settings(monkeypatch, {"GENERATOR_PROVIDERS": value})


@pytest.mark.parametrize("address", ["https://api.together.xyz/v1", "https://api.together.xyz/v1/"])
def test_the_version_in_together_s_address_is_left_to_its_client(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    assert _settings(monkeypatch, {"TOGETHER_BASE_URL": address}).together_base_url == "https://api.together.xyz"


def _settings(monkeypatch: pytest.MonkeyPatch, given: dict[str, str]) -> GeneratorSettings:
    for name in ("FAL_KEY", "TOGETHER_API_KEY", "FAL_BASE_URL", "TOGETHER_BASE_URL", "GENERATOR_PROVIDERS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in (REQUIRED | given).items():
        monkeypatch.setenv(name, value)
    return GeneratorSettings()
