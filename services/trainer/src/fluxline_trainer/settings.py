"""What the trainer is told by its environment."""

from datetime import timedelta

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import SettingsConfigDict

from fluxline.runtime.settings import PostgresUrl, ServiceSettings, postgres_url_field


class TrainerSettings(ServiceSettings):
    """Variables with the prefix `TRAINER_`, and those of Replicate under their usual names. Times are seconds."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", populate_by_name=True, env_prefix="TRAINER_")

    database_url: PostgresUrl = postgres_url_field()
    http_port: int = Field(8003, ge=0, le=65535, description="the port of the health routes")
    replicate_api_token: SecretStr = Field(
        min_length=1,
        validation_alias="REPLICATE_API_TOKEN",
        description="make an API token at https://replicate.com/account/api-tokens",
    )
    replicate_base_url: str = Field(
        "https://api.replicate.com",
        validation_alias="REPLICATE_BASE_URL",
        description="the address of Replicate's API, like https://api.replicate.com",
    )
    replicate_trainer: str = Field(
        "ostris/flux-dev-lora-trainer",
        pattern=r"^[a-z0-9][a-z0-9._-]*/[a-z0-9][a-z0-9._-]*$",
        description="owner/name of a trainer with the inputs of ostris/flux-dev-lora-trainer",
    )
    replicate_owner: str | None = Field(
        None,
        pattern=r"^[a-zA-Z0-9][a-zA-Z0-9_-]*$",
        description="the user or organisation whose models the results become, or leave it out for the token's own",
    )
    replicate_hardware: str = Field(
        "gpu-t4", description="required for a new model; Replicate replaces it by what the trained model needs"
    )
    webhook_url: str | None = Field(
        None,
        pattern=r"^https?://.+",
        description="the gateway's public https address + /v1/webhooks/replicate, or leave it out",
    )
    settle_s: float = Field(120.0, gt=0, description="more than the worst lag of Replicate's list of trainings")
    poll_seconds: list[float] = Field([15.0, 30.0, 60.0], min_length=1, description="waits, like [15, 30, 60]")
    confirm_s: float = Field(60.0, gt=0, description="seconds between two looks that confirm a lost training")
    deadline_s: float = Field(5400.0, gt=0, description="seconds after which a training is canceled")
    usd_per_second: float = Field(0.001525, ge=0, description="price of the trainer's hardware, by default an H100's")
    zip_link_s: int = Field(86_400, ge=600, le=604_800, description="seconds that the archive's link works")
    retry_attempts: int = Field(20, ge=1, description="how often a step is tried before anything is paid")
    retry_base_s: float = Field(1.0, gt=0, le=60, description="the first wait of a retry; it doubles up to its cap")
    sweep_s: float = Field(30.0, gt=0, description="seconds between two sweeps for lost timers")
    audit_s: float = Field(300.0, gt=0, description="seconds between two searches for trainings paid twice")
    request_timeout_s: float = Field(30.0, gt=0, le=300, description="seconds that one call to Replicate may take")
    download_timeout_s: float = Field(900.0, gt=0, description="seconds that the download of the weights may take")
    max_weights_bytes: int = Field(4 * 1024**3, gt=0, description="the largest archive of weights that is taken")
    min_weights_bytes: int = Field(64 * 1024, gt=0, description="the smallest file that can be weights")
    concurrency: int = Field(16, ge=1, le=100, description="how many jobs one process looks after at the same time")

    @field_validator("replicate_base_url")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        if not value.startswith(("http://", "https://")):
            raise ValueError("must start with https:// or http://")
        return value.rstrip("/")

    @field_validator("poll_seconds")
    @classmethod
    def _are_waits(cls, value: list[float]) -> list[float]:
        if not all(0 < seconds <= 3600 for seconds in value):
            raise ValueError("must be numbers of seconds above 0, up to 3600")
        return value

    @property
    def polls(self) -> list[timedelta]:
        """The waits between looks at a training."""
        return [timedelta(seconds=seconds) for seconds in self.poll_seconds]
