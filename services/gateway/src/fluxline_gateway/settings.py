"""What the gateway is told by its environment."""

from urllib.parse import urlsplit

from pydantic import Field, HttpUrl, SecretStr, ValidationInfo, field_validator
from pydantic_settings import SettingsConfigDict

from fluxline.runtime.settings import ServiceSettings, postgres_url_field
from fluxline_gateway.identity.oidc_keys import issuer_url
from fluxline_gateway.webhooks.urls import origin_of

CLAIM = r"^[!#-\[\]-~]+$"
"""The name of a claim: visible ASCII without quotation mark and backslash, as it may stand in a header."""


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
        (),
        description='the origins of web frontends that may call the API, each by name and none as "*",'
        ' as JSON like ["https://app.example.com"]',
    )
    webhook_origins: tuple[str, ...] = Field(
        (),
        description="the origins that webhooks may be sent to although they are inside of a network or without TLS,"
        ' as JSON like ["http://127.0.0.1:9000"]',
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
    training_usd_per_second: float = Field(
        0.001525, ge=0, description="the provider's price of a second of training in US dollars, an H100's is 0.001525"
    )
    generation_usd_per_image: float = Field(
        0.025, ge=0, description="US dollars that an image is reckoned at until its real cost is known, like 0.025"
    )
    spend_cap_usd: float | None = Field(
        None,
        ge=0,
        allow_inf_nan=False,
        description="US dollars that an owner without a cap of its own may spend a month, or leave it out",
    )
    max_running: int | None = Field(
        None, ge=1, description="how many trainings an owner may have running at once, or leave it out"
    )

    requests_per_minute: int = Field(
        1200, ge=1, description="requests a minute that an owner without a number of its own may send, like 1200"
    )
    oidc_issuer: str | None = Field(
        None,
        description="the issuer whose JSON Web Tokens are trusted, exactly as in their `iss`,"
        " like https://login.example.com/realms/main, or leave it out",
    )
    oidc_audience: str | None = Field(
        None,
        validate_default=True,
        description="set it with GATEWAY_OIDC_ISSUER to the issuer's name for this API, which is the `aud` of its"
        " tokens, like https://api.example.com",
    )
    oidc_owner_claim: str = Field(
        "sub",
        pattern=CLAIM,
        description="the claim that says whom a token speaks for, like sub; users must not be able to choose its value",
    )
    oidc_scope_claim: str = Field(
        "scope", pattern=CLAIM, description="the claim that holds the scopes of a token, like scope"
    )
    oidc_admin_scope: str | None = Field(
        None,
        min_length=1,
        pattern=r"^\S+$",
        description="the word in the scope claim that makes an administrator, like fluxline:admin, or leave it out",
    )

    @field_validator("oidc_issuer")
    @classmethod
    def _is_an_issuer(cls, value: str | None) -> str | None:
        return value if value is None else issuer_url(value)

    @field_validator("oidc_audience")
    @classmethod
    def _belongs_to_an_issuer(cls, value: str | None, info: ValidationInfo) -> str | None:
        if "oidc_issuer" in info.data and (info.data["oidc_issuer"] is None) != (not value):
            raise ValueError("is not set" if not value else "is set, but GATEWAY_OIDC_ISSUER is not")
        return value

    @field_validator("cors_origins", "webhook_origins")
    @classmethod
    def _are_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            if origin_of(origin) != origin or not urlsplit(origin).hostname or "*" in origin or not origin.isascii():
                raise ValueError("each must be scheme, host and port in lower case, like http://127.0.0.1:9000")
        return value
