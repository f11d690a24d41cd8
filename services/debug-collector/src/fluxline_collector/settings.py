"""What the collector is told by its environment."""

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from fluxline.runtime.settings import PostgresUrl, ServiceSettings, postgres_url_field


class CollectorSettings(ServiceSettings):
    """Settings with the prefix COLLECTOR_, beside the shared ones."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", populate_by_name=True, env_prefix="COLLECTOR_")

    database_url: PostgresUrl = postgres_url_field()
    token: SecretStr = Field(
        min_length=16, description="set it to a random secret of 16 or more characters, the same as the gateway's"
    )
    http_port: int = Field(8010, ge=0, le=65535, description="the port to listen on")
