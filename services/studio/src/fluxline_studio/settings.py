"""What the studio is told by its environment. It knows no NATS, so it has settings of its own kind."""

from typing import Final, Self

from pydantic import Field, HttpUrl, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from fluxline.runtime.settings import TelemetrySettings

CALLBACK: Final = "/sign-in/oidc/callback"


class StudioSettings(TelemetrySettings):
    """The studio's settings; a field's `description` is the remedy when its value is missing or wrong."""

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", populate_by_name=True, env_prefix="STUDIO_", hide_input_in_errors=True
    )

    http_host: str = Field("127.0.0.1", description="the address to listen on, like 0.0.0.0 in a container")
    http_port: int = Field(8080, ge=0, le=65535, description="the port to listen on")
    gateway_url: HttpUrl = Field(
        HttpUrl("http://127.0.0.1:8000"), description="the address of the gateway, like http://gateway:8000"
    )
    secret: SecretStr = Field(
        min_length=32, description="set it to the same random text of at least 32 characters on every replica"
    )
    cookie_secure: bool = Field(
        True, description="set it to false only where browsers reach the studio by plain HTTP, as on one machine"
    )
    session_hours: float = Field(12.0, gt=0, le=720, description="hours until one has to sign in again, like 12")
    graceful_timeout_s: float = Field(5.0, gt=0, description="seconds that open requests get on SIGTERM")
    public_url: HttpUrl | None = Field(
        None, description="the address of the studio in browsers, like https://studio.example.com; needed for OIDC"
    )
    oidc_issuer: str | None = Field(
        None, description="the issuer's name, like https://id.example.com; the same as GATEWAY_OIDC_ISSUER"
    )
    oidc_client_id: str | None = Field(None, description="the name under which the issuer knows the studio")
    oidc_client_secret: SecretStr | None = Field(
        None, description="the studio's secret at the issuer; leave it out for a public client"
    )
    oidc_scope: str = Field("openid", description="what to ask the issuer for, like openid read write")
    oidc_audience: str | None = Field(
        None, description="the same as GATEWAY_OIDC_AUDIENCE, if the issuer wants to be told for whom a token is"
    )

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.oidc_issuer and not (self.oidc_client_id and self.public_url):
            raise ValueError("STUDIO_OIDC_ISSUER needs STUDIO_OIDC_CLIENT_ID and STUDIO_PUBLIC_URL")
        return self

    @property
    def callback_url(self) -> str:
        """Where the issuer sends browsers back to; it has to know this address."""
        return f"{str(self.public_url).rstrip('/')}{CALLBACK}"

    @property
    def gateway(self) -> str:
        """The gateway's address without a slash at its end."""
        return str(self.gateway_url).rstrip("/")
