"""What the publisher is told by its environment."""

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import SettingsConfigDict

from fluxline.contracts.catalog import PUBLISHER
from fluxline.runtime.settings import ServiceSettings


class PublisherSettings(ServiceSettings):
    """Variables with the prefix `PUBLISHER_`, and those of Hugging Face under their usual names."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", populate_by_name=True, env_prefix="PUBLISHER_")

    http_port: int = Field(8004, ge=0, le=65535, description="the port of the health routes")
    huggingface_api_token: SecretStr = Field(
        min_length=1,
        validation_alias="HUGGINGFACE_API_TOKEN",
        description="make a token with write access at https://huggingface.co/settings/tokens",
    )
    huggingface_username: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,95}$",
        validation_alias="HUGGINGFACE_USERNAME",
        description="set it to the user or organisation whose models these become, as in huggingface.co/<name>",
    )
    hf_endpoint: str = Field(
        "https://huggingface.co",
        validation_alias="HF_ENDPOINT",
        description="the address of the hub, like https://huggingface.co",
    )
    hub_timeout_s: float = Field(60.0, gt=0, le=600, description="seconds that one answer of the hub may take")
    deadline_s: float = Field(1800.0, gt=0, description="seconds that one publication may take in all")
    retry_attempts: int = Field(
        10, ge=1, le=PUBLISHER.max_deliver, description="how often a publication is tried in all"
    )
    retry_base_s: float = Field(1.0, gt=0, le=60, description="the first wait of a retry; it doubles up to its cap")

    @field_validator("hf_endpoint")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        if not value.startswith(("http://", "https://")):
            raise ValueError("must start with https:// or http://")
        return value.rstrip("/")
