"""Settings that every service has, and how a wrong or missing one stops the service with a remedy."""

import os
import ssl
import sys
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import AfterValidator, Field, FilePath, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from fluxline.runtime.redaction import know_settings
from fluxline.runtime.sampling import NAMES, SamplerName

S = TypeVar("S", bound=BaseSettings)
EX_CONFIG = 78
"""The exit status of sysexits.h for a configuration error."""
SECRETS_DIR = "/run/secrets"
"""Where containers find secrets, a file each, named like the variable; `FLUXLINE_SECRETS_DIR` names one more folder."""


class TelemetrySettings(BaseSettings):
    """Where a process's traces go, which share of them, and how much it logs."""

    otlp_endpoint: str | None = Field(
        None,
        validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT",
        description="set it to an OTLP/HTTP collector, like http://127.0.0.1:4318, or leave it out",
    )
    trace_sampler: SamplerName = Field(
        "parentbased_traceidratio",
        validation_alias="OTEL_TRACES_SAMPLER",
        description=f"use one of {', '.join(NAMES)}",
    )
    trace_ratio: float = Field(
        1.0,
        ge=0,
        le=1,
        validation_alias="OTEL_TRACES_SAMPLER_ARG",
        description="set it to the share of traces that are kept, from 0 to 1; failed jobs are kept anyway",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", validation_alias="LOG_LEVEL", description="use DEBUG, INFO, WARNING or ERROR"
    )


class ServiceSettings(TelemetrySettings):
    """What every service is told by its environment; a subclass sets `env_prefix` and adds its own.

    A field's `description` is the remedy that the operator reads when its value is missing or wrong.
    """

    model_config = SettingsConfigDict(frozen=True, extra="ignore", populate_by_name=True, env_ignore_empty=True)

    nats_url: str = Field(
        validation_alias="NATS_URL", description="set it to the NATS servers, like nats://127.0.0.1:4222"
    )
    nats_ca_file: FilePath | None = Field(
        None,
        validation_alias="NATS_CA_FILE",
        description="set it to a PEM file with the authority that signed NATS' certificates, or leave it out",
    )
    nats_replicas: int = Field(
        1, ge=1, le=5, validation_alias="NATS_REPLICAS", description="on how many NATS servers each stream is kept"
    )
    nats_monitor_url: str | None = Field(
        None,
        validation_alias="NATS_MONITOR_URL",
        description="set it to the monitoring address of each NATS server, like http://nats:8222, divided by commas",
    )
    production: bool = Field(
        False,
        validation_alias="FLUXLINE_PRODUCTION",
        description="set it to true where no acknowledged message may be lost in a power cut",
    )
    log_shipping: bool = Field(
        True,
        validation_alias="LOG_SHIPPING",
        description="set it to false to keep the log on stderr and out of the debug-collector",
    )
    http_host: str = Field("127.0.0.1", description="the address to listen on, like 0.0.0.0 in a container")
    http_port: int = Field(8000, ge=0, le=65535, description="the port to listen on")
    graceful_timeout_s: float = Field(15.0, gt=0, description="seconds that running work gets on SIGTERM")

    @field_validator("nats_url")
    @classmethod
    def _has_nats_scheme(cls, value: str) -> str:
        if not all(url.strip().startswith(("nats://", "tls://")) for url in value.split(",")):
            raise ValueError("must start with nats:// or tls://")
        return value

    @field_validator("nats_ca_file")
    @classmethod
    def _holds_certificates(cls, value: Path | None) -> Path | None:
        try:
            ssl.create_default_context(cafile=value)
        except (OSError, ssl.SSLError):
            raise ValueError("holds no certificate in PEM that can be read") from None
        return value

    @model_validator(mode="after")
    def _can_be_checked(self) -> Self:
        if self.production and not self.nats_monitor_urls:
            raise ValueError("FLUXLINE_PRODUCTION needs NATS_MONITOR_URL, to see that NATS keeps what it acknowledges")
        return self

    @property
    def nats_monitor_urls(self) -> list[str]:
        """The monitoring address of each NATS server."""
        return [url.strip() for url in (self.nats_monitor_url or "").split(",") if url.strip()]


def _has_postgres_scheme(value: SecretStr) -> SecretStr:
    if not value.get_secret_value().startswith(("postgres://", "postgresql://")):
        raise ValueError("must start with postgresql://")
    return value


PostgresUrl = Annotated[SecretStr, AfterValidator(_has_postgres_scheme)]
"""A libpq-style URL; secret, since it holds a password."""


def postgres_url_field() -> Any:
    """The DATABASE_URL of a service with state, a `PostgresUrl`; its role and schema are the service's own."""
    return Field(
        validation_alias="DATABASE_URL",
        description="set it to the service's own role and database, like postgresql://gateway:...@127.0.0.1:5432/fluxline",
    )


def load(settings_class: type[S]) -> S:
    """The settings from the environment, else from files; a wrong one ends the process, naming variable and remedy."""
    try:
        settings = settings_class(_secrets_dir=secrets_dirs())
    except ValidationError as error:
        print(explain(settings_class, error), file=sys.stderr)
        raise SystemExit(EX_CONFIG) from None
    know_settings(settings)
    return settings


def secrets_dirs() -> list[Path]:
    """The folders with secrets; the last one counts most. One that was named and is not there ends the process."""
    named = os.environ.get("FLUXLINE_SECRETS_DIR")
    if named and not Path(named).is_dir():
        print(f"FLUXLINE_SECRETS_DIR: {named} is no folder → mount the secrets there, or unset it", file=sys.stderr)
        raise SystemExit(EX_CONFIG)
    return [folder for folder in map(Path, filter(None, (SECRETS_DIR, named))) if folder.is_dir()]


def value_of(variable: str) -> str | None:
    """A variable's value from the environment, else from its file; None where there is neither."""
    files = (folder / variable for folder in reversed(secrets_dirs()))
    return os.environ.get(variable) or next((file.read_text().strip() for file in files if file.is_file()), None)


def required_value_of(variable: str) -> str:
    """The same; the process ends where there is neither."""
    value = value_of(variable)
    if not value:
        print(f"{variable}: is not set → set it, or put it into a file of that name in {SECRETS_DIR}", file=sys.stderr)
        raise SystemExit(EX_CONFIG)
    return value


def explain(settings_class: type[BaseSettings], error: ValidationError) -> str:
    """One line per wrong variable: its name, what is wrong, what to do. Values are never shown."""
    lines = [f"{settings_class.__name__}: the configuration is incomplete or wrong."]
    for item in error.errors(include_input=False, include_url=False):
        name = _variable(settings_class, str(item["loc"][0]) if item["loc"] else "")
        problem = "is not set" if item["type"] == "missing" else item["msg"].removeprefix("Value error, ")
        remedy = _remedy(settings_class, name)
        lines.append(f"  {name}: {problem}" + (f" → {remedy}" if remedy else "") if name else f"  {problem}")
    return "\n".join(lines)


def _variable(settings_class: type[BaseSettings], loc: str) -> str:
    field = settings_class.model_fields.get(loc)
    if field is None:
        return loc
    if isinstance(field.validation_alias, str):
        return field.validation_alias
    return f"{settings_class.model_config.get('env_prefix', '')}{loc}".upper()


def _remedy(settings_class: type[BaseSettings], variable: str) -> str | None:
    for loc, field in settings_class.model_fields.items():
        if _variable(settings_class, loc) == variable:
            return field.description
    return None
