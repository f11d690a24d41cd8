"""What the gateway is told by its environment."""

from pydantic import Field, HttpUrl, SecretStr
from pydantic_settings import SettingsConfigDict

from fluxline.runtime.settings import ServiceSettings, postgres_url_field


class GatewaySettings(ServiceSettings):
    """The gateway's settings; storage has its own (`fluxline.storage.StorageSettings`)."""

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", populate_by_name=True, env_prefix="GATEWAY_", hide_input_in_errors=True
    )

    http_port: int = Field(8000, ge=0, le=65535, description="the port to listen on")
    database_url: str = postgres_url_field()
    public_url: HttpUrl = Field(
        HttpUrl("http://127.0.0.1:8000"),
        description="the address under which clients and providers reach this gateway, like https://api.example.com",
    )
    collector_url: HttpUrl = Field(
        HttpUrl("http://127.0.0.1:8010"), description="the address of the debug-collector, like http://127.0.0.1:8010"
    )
    collector_token: SecretStr = Field(
        min_length=16,
        validation_alias="COLLECTOR_TOKEN",
        description="set it to the same random text of at least 16 characters as at the debug-collector",
    )
    replicate_webhook_secret: SecretStr | None = Field(
        None,
        description="set it to Replicate's webhook signing secret (whsec_...), or leave it out: training is polled",
    )
    cors_origins: tuple[str, ...] = Field(
        (), description='the origins of web frontends that may call the API, as JSON like ["https://app.example.com"]'
    )
    watch_s: float = Field(10.0, gt=0, description="seconds between two looks of the watchdog, like 10")
    reemit_s: float = Field(
        600.0, gt=0, description="seconds without news after which the event that began the stage is sent again"
    )
    usual_zip_s: float = Field(30.0, gt=0, description="seconds without news that are usual before and while zipping")
    usual_training_s: float = Field(120.0, gt=0, description="seconds without news that are usual while training")
    usual_publish_s: float = Field(60.0, gt=0, description="seconds without news that are usual while publishing")
    deadline_zip_s: float = Field(3600.0, gt=0, description="seconds after which a training that is zipping fails")
    deadline_training_s: float = Field(14_400.0, gt=0, description="seconds after which a running training fails")
    silence_s: float = Field(
        86_400.0, gt=0, description="seconds without any news after which a training fails, whatever it waits for"
    )
    deadline_publish_s: float = Field(7200.0, gt=0, description="seconds after which a training being published fails")
