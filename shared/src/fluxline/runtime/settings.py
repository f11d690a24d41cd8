"""Settings that every service has, and how a wrong or missing one stops the service with a remedy."""

import sys
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import AfterValidator, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from fluxline.runtime.redaction import know_settings

S = TypeVar("S", bound=BaseSettings)
EX_CONFIG = 78
"""The exit status of sysexits.h for a configuration error."""


class ServiceSettings(BaseSettings):
    """What every service is told by its environment; a subclass sets `env_prefix` and adds its own.

    A field's `description` is the remedy that the operator reads when its value is missing or wrong.
    """

    model_config = SettingsConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    nats_url: str = Field(
        validation_alias="NATS_URL", description="set it to the NATS servers, like nats://127.0.0.1:4222"
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
    otlp_endpoint: str | None = Field(
        None,
        validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT",
        description="set it to an OTLP/HTTP collector, like http://127.0.0.1:4318, or leave it out",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", validation_alias="LOG_LEVEL", description="use DEBUG, INFO, WARNING or ERROR"
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
    """The settings from the environment; a wrong one ends the process, naming the variable and the remedy."""
    try:
        settings = settings_class()
    except ValidationError as error:
        print(explain(settings_class, error), file=sys.stderr)
        raise SystemExit(EX_CONFIG) from None
    know_settings(settings)
    return settings


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
