"""What the collector is told by its environment."""

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, HttpUrl, SecretStr
from pydantic_settings import NoDecode, SettingsConfigDict

from fluxline.runtime.settings import PostgresUrl, ServiceSettings, postgres_url_field
from fluxline_collector.alerts.channel_urls import ChannelUrl, channel_urls
from fluxline_collector.alerts.quiet import QuietHours, quiet_hours
from fluxline_collector.alerts.rule_file import default_rules, rules_from
from fluxline_collector.alerts.rules import RuleSet


def _is_template(value: str) -> str:
    if not value.startswith(("http://", "https://")) or "{trace_id}" not in value:
        raise ValueError("must be an http:// or https:// address with {trace_id} in it")
    return value


TraceUrl = Annotated[str, AfterValidator(_is_template)]


class CollectorSettings(ServiceSettings):
    """Settings with the prefix COLLECTOR_, beside the shared ones."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", populate_by_name=True, env_prefix="COLLECTOR_")

    database_url: PostgresUrl = postgres_url_field()
    token: SecretStr = Field(
        min_length=16, description="set it to a random secret of 16 or more characters, the same as the gateway's"
    )
    http_port: int = Field(8010, ge=0, le=65535, description="the port to listen on")
    keep_days: int = Field(90, ge=1, le=3650, description="for how many days events are kept, by whole weeks")
    keep_jobs_days: int = Field(730, ge=1, le=36500, description="for how many days jobs and attempts are kept")
    keep_log_days: int = Field(14, ge=1, le=3650, description="for how many days the services' logs are kept")
    jaeger_url: HttpUrl | None = Field(
        None,
        validation_alias="JAEGER_URL",
        description="set it to where people open Jaeger, like http://127.0.0.1:16686, or leave it out",
    )
    trace_url: TraceUrl | None = Field(
        None,
        validation_alias="FLUXLINE_TRACE_URL",
        description="set it to the page of a trace, like https://traces.example.com/trace/{trace_id}, or leave it out",
    )
    alert_rules: Annotated[RuleSet, NoDecode, BeforeValidator(rules_from)] = Field(
        default_factory=default_rules,
        description="set it to the path of a TOML file with rules (see docs/alerts.md), or leave it out",
    )
    alert_urls: Annotated[tuple[ChannelUrl, ...], NoDecode, BeforeValidator(channel_urls)] = Field(
        (), description="set it to addresses of apprise, divided by spaces, like slack://… critical=discord://…"
    )
    alert_quiet: Annotated[QuietHours | None, NoDecode, BeforeValidator(quiet_hours)] = Field(
        None, description="set it to daily quiet hours, like 22:00-07:00 Europe/Berlin, or leave it out"
    )
    alert_every_s: float = Field(15.0, ge=1, le=300, description="seconds between two evaluations of the rules")
    studio_url: HttpUrl | None = Field(
        None,
        validation_alias="FLUXLINE_STUDIO_URL",
        description="set it to where people open the web console, so that notices link to jobs, or leave it out",
    )

    @property
    def page_of_trace(self) -> str | None:
        """The address of a trace's page, with `{trace_id}` in it."""
        if self.trace_url or not self.jaeger_url:
            return self.trace_url
        return f"{str(self.jaeger_url).rstrip('/')}/trace/{{trace_id}}"
