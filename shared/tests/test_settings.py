"""A service without its configuration does not start, and says what to do."""

from pathlib import Path

import pytest
from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from fluxline.runtime.settings import EX_CONFIG, ServiceSettings, load


class DemoSettings(ServiceSettings):
    model_config = SettingsConfigDict(frozen=True, extra="ignore", populate_by_name=True, env_prefix="DEMO_")
    api_token: SecretStr = Field(validation_alias="DEMO_API_TOKEN", description="make one at example.com/tokens")
    workers: int = Field(1, ge=1, description="use 1 or more")


def test_a_missing_variable_is_named_with_its_remedy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NATS_URL", "nats://127.0.0.1:4222")
    monkeypatch.delenv("DEMO_API_TOKEN", raising=False)
    with pytest.raises(SystemExit) as stopped:
        load(DemoSettings)
    assert stopped.value.code == EX_CONFIG
    assert "DEMO_API_TOKEN: is not set → make one at example.com/tokens" in capsys.readouterr().err


def test_every_wrong_variable_is_named_at_once_and_no_value_is_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NATS_URL", "hf_secretsecret")
    monkeypatch.setenv("DEMO_API_TOKEN", "x")
    monkeypatch.setenv("DEMO_WORKERS", "none")
    with pytest.raises(SystemExit):
        load(DemoSettings)
    message = capsys.readouterr().err
    assert "NATS_URL: must start with nats:// or tls://" in message
    assert "DEMO_WORKERS" in message
    assert "secretsecret" not in message


def test_production_without_the_monitoring_address_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NATS_URL", "nats://127.0.0.1:4222")
    monkeypatch.setenv("DEMO_API_TOKEN", "x")
    monkeypatch.setenv("FLUXLINE_PRODUCTION", "true")
    with pytest.raises(SystemExit) as stopped:
        load(DemoSettings)
    assert stopped.value.code == EX_CONFIG
    assert "NATS_MONITOR_URL" in capsys.readouterr().err


def test_monitoring_addresses_are_divided_by_commas() -> None:
    settings = ServiceSettings(nats_url="nats://a:1,nats://b:1", nats_monitor_url="http://a:8222, http://b:8222")
    assert settings.nats_monitor_urls == ["http://a:8222", "http://b:8222"]


def test_a_secret_may_lie_in_a_file_and_the_environment_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FLUXLINE_SECRETS_DIR", str(tmp_path))
    monkeypatch.delenv("DEMO_API_TOKEN", raising=False)
    (tmp_path / "DEMO_API_TOKEN").write_text("of-the-file\n")
    (tmp_path / "NATS_URL").write_text("nats://of-the-file:4222")
    monkeypatch.setenv("NATS_URL", "nats://of-the-environment:4222")
    settings = load(DemoSettings)
    assert settings.api_token.get_secret_value() == "of-the-file"
    assert settings.nats_url == "nats://of-the-environment:4222"


def test_a_folder_of_secrets_that_is_not_there_stops_the_service(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("FLUXLINE_SECRETS_DIR", str(tmp_path / "nowhere"))
    with pytest.raises(SystemExit) as stopped:
        load(DemoSettings)
    assert stopped.value.code == EX_CONFIG
    assert "FLUXLINE_SECRETS_DIR" in capsys.readouterr().err
