"""What the generator is told by its environment."""

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import SettingsConfigDict

from fluxline.contracts.catalog import GENERATOR
from fluxline.runtime.settings import ServiceSettings, postgres_url_field
from fluxline_generator.orders import LIMITS


class GeneratorSettings(ServiceSettings):
    """Variables with the prefix `GENERATOR_`, and those of the providers and PostgreSQL under their usual names."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", populate_by_name=True, env_prefix="GENERATOR_")

    http_port: int = Field(8005, ge=0, le=65535, description="the port of the health routes")
    database_url: str = postgres_url_field()
    replicate_api_token: SecretStr = Field(
        min_length=1,
        validation_alias="REPLICATE_API_TOKEN",
        description="make a token at https://replicate.com/account/api-tokens",
    )
    replicate_base_url: str = Field(
        "https://api.replicate.com",
        validation_alias="REPLICATE_BASE_URL",
        description="the address of Replicate's API, like https://api.replicate.com",
    )
    fal_key: SecretStr | None = Field(
        None, validation_alias="FAL_KEY", description="a key of https://fal.ai/dashboard/keys"
    )
    fal_base_url: str = Field(
        "https://queue.fal.run", validation_alias="FAL_BASE_URL", description="the address of fal's queue"
    )
    together_api_key: SecretStr | None = Field(
        None, validation_alias="TOGETHER_API_KEY", description="a key of https://api.together.ai/settings/api-keys"
    )
    together_base_url: str = Field(
        "https://api.together.ai", validation_alias="TOGETHER_BASE_URL", description="the address of Together's API"
    )
    together_model: str = Field("black-forest-labs/FLUX.1-dev", description="Together's name of FLUX.1-dev")
    together_lora_model: str | None = Field(None, description="a model at Together that takes LoRAs, if there is one")
    providers: str = Field(
        "replicate,fal,together", description="who is asked, in this order; those without a key are left out"
    )
    call_timeout_s: float = Field(60.0, gt=0, le=600, description="seconds that one answer of the provider may take")
    poll_s: float = Field(1.0, gt=0, le=60, description="seconds between two looks at a running prediction")
    prediction_s: float = Field(600.0, gt=0, le=3000, description="seconds after which a prediction is canceled")
    settle_s: float = Field(
        120.0, ge=0, description="seconds after which a prediction that the provider does not list was never made"
    )
    runs_at_once: int = Field(8, ge=1, le=64, description="how many runs this process has at one provider at once")
    retry_attempts: int = Field(
        GENERATOR.max_deliver, ge=1, le=GENERATOR.max_deliver, description="how often a generation is tried in all"
    )
    retry_base_s: float = Field(1.0, gt=0, le=60, description="the first wait of a retry; it doubles up to its cap")
    usd_per_second: float = Field(0.001525, ge=0, description="the provider's price for a trained model's run time")
    usd_per_image: float = Field(0.025, ge=0, description="the provider's price for one image of the base model")
    fal_usd_per_megapixel: float = Field(0.025, ge=0, description="fal's price for the base model")
    fal_lora_usd_per_megapixel: float = Field(0.035, ge=0, description="fal's price for a LoRA")
    together_usd_per_megapixel: float = Field(0.025, ge=0, description="Together's price")

    @property
    def provider_names(self) -> tuple[str, ...]:
        """Who is asked, in order."""
        return tuple(name.strip() for name in self.providers.split(","))

    @field_validator("providers")
    @classmethod
    def _names_providers(cls, value: str) -> str:
        names = [name.strip() for name in value.split(",")]
        if set(names) - set(LIMITS) or len(set(names)) < len(names):
            raise ValueError(f"must be some of {', '.join(LIMITS)}, each once, with commas in between")
        return value

    @field_validator("together_base_url")
    @classmethod
    def _without_version(cls, value: str) -> str:
        """The client adds `/v1` itself."""
        return value.rstrip("/").removesuffix("/v1")

    @field_validator("replicate_base_url", "fal_base_url", "together_base_url")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        if not value.startswith(("http://", "https://")):
            raise ValueError("must start with https:// or http://")
        return value.rstrip("/")
