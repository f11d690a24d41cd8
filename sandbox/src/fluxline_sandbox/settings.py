"""How the sandbox is started: addresses, accepted tokens and where its state lives."""

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Environment variables with the prefix `SANDBOX_`.

    The default tokens and the default webhook secret are public: nothing of value hides behind them.
    """

    model_config = SettingsConfigDict(env_prefix="SANDBOX_", frozen=True, extra="ignore")

    host: str = "127.0.0.1"
    port: int = Field(default=8090, ge=0, le=65535)
    home: Path = Path(".sandbox")
    public_url: str = ""
    replicate_api_token: SecretStr = SecretStr("r8_sandbox_0000000000000000000000000000000")
    huggingface_api_token: SecretStr = SecretStr("hf_sandboxsandboxsandboxsandboxsandbox")
    together_api_key: SecretStr = SecretStr("tgp_sandbox_0000000000000000000000000000")
    fal_key: SecretStr = SecretStr("fal_sandbox_00000000:00000000000000000000000000")
    webhook_secret: SecretStr = SecretStr("whsec_c2FuZGJveC13ZWJob29rLXNlY3JldC0zMi1ieXRlcyE=")
    training_seconds: float = Field(default=4.0, ge=0, le=86_400)
    huggingface_username: str = "fluxline-sandbox"
    replicate_username: str = "fluxline-sandbox"

    @property
    def base_url(self) -> str:
        """Address by which clients and webhook receivers reach the sandbox, without a trailing slash."""
        return (self.public_url or f"http://{self.host}:{self.port}").rstrip("/")
