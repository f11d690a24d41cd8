"""What the studio is told by its environment. It knows no NATS, so it has settings of its own kind."""

from typing import Literal

from pydantic import Field, HttpUrl, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class StudioSettings(BaseSettings):
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
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", validation_alias="LOG_LEVEL", description="use DEBUG, INFO, WARNING or ERROR"
    )

    @property
    def gateway(self) -> str:
        """The gateway's address without a slash at its end."""
        return str(self.gateway_url).rstrip("/")
