"""Which storage a service uses, from its environment; a wrong or missing value stops it with the remedy."""

from pathlib import Path
from typing import Self, TypeVar
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from fluxline.storage.interface import Storage
from fluxline.storage.local import LocalStorage
from fluxline.storage.signing import MIN_SECRET_BYTES

T = TypeVar("T")


class StorageSettings(BaseSettings):
    """Cloudflare R2 (or any S3) when its variables are set, else a folder of this machine.

    A field's `description` is the remedy that the operator reads when its value is missing or wrong.
    """

    model_config = SettingsConfigDict(frozen=True, extra="ignore", populate_by_name=True, env_ignore_empty=True)

    r2_access_key_id: SecretStr | None = Field(
        None, validation_alias="CLOUDFLARE_R2_ACCESS_KEY_ID", description="set it to the R2 API token's access key ID"
    )
    r2_secret_access_key: SecretStr | None = Field(
        None,
        validation_alias="CLOUDFLARE_R2_SECRET_ACCESS_KEY",
        description="set it to the R2 API token's secret access key",
    )
    r2_bucket: str | None = Field(
        None, validation_alias="CLOUDFLARE_R2_BUCKET", description="set it to the name of an existing bucket"
    )
    r2_endpoint: str | None = Field(
        None,
        validation_alias="CLOUDFLARE_R2_ENDPOINT",
        description="set it to the S3 API's address, like https://<account id>.r2.cloudflarestorage.com",
    )
    r2_public_url: str | None = Field(
        None,
        validation_alias="CLOUDFLARE_R2_PUBLIC_URL",
        pattern=r"^https?://.+",
        description="leave it out (files travel by signed links), or set it to the bucket's https:// address",
    )
    storage_dir: Path | None = Field(
        None, validation_alias="STORAGE_DIR", description="set it to a folder that the service may write"
    )
    storage_public_url: str | None = Field(
        None,
        validation_alias="STORAGE_PUBLIC_URL",
        pattern=r"^https?://.+",
        description="set it to the gateway's address as the provider sees it, like http://127.0.0.1:8000",
    )
    storage_secret: SecretStr | None = Field(
        None,
        validation_alias="STORAGE_SECRET",
        min_length=MIN_SECRET_BYTES,
        description="set it to at least 32 random characters, like the output of `openssl rand -hex 32`",
    )

    @field_validator("r2_endpoint")
    @classmethod
    def _is_an_address(cls, value: str | None, info: ValidationInfo) -> str | None:
        return None if value is None else _endpoint(value, info.data.get("r2_bucket"))

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if self.uses_r2:
            self._require(*_R2)
        elif self.storage_dir is not None:
            self._require("storage_public_url", "storage_secret")
        else:
            names = ", ".join(_variable(name) for name in _R2)
            raise ValueError(
                f"no storage is configured → set {names} for R2 or another S3, "
                "or STORAGE_DIR, STORAGE_PUBLIC_URL and STORAGE_SECRET for a folder"
            )
        return self

    @property
    def uses_r2(self) -> bool:
        """Whether files go to an S3 rather than to a folder."""
        return any(getattr(self, name) is not None for name in _R2)

    def _require(self, *names: str) -> None:
        missing = [name for name in names if getattr(self, name) is None]
        if missing:
            fields = type(self).model_fields
            raise ValueError(
                "; ".join(f"{_variable(name)} is not set → {fields[name].description}" for name in missing)
            )


_R2 = ("r2_endpoint", "r2_bucket", "r2_access_key_id", "r2_secret_access_key")


def make_storage(settings: StorageSettings) -> Storage:
    """The storage that `settings` choose; raises StorageError when a folder cannot be used."""
    if settings.uses_r2:
        # Lazy: boto3 takes half a second to import, and a folder does not need it.
        from fluxline.storage.s3 import S3Storage

        return S3Storage(
            endpoint=_given(settings.r2_endpoint),
            bucket=_given(settings.r2_bucket),
            access_key_id=_given(settings.r2_access_key_id).get_secret_value(),
            secret_access_key=_given(settings.r2_secret_access_key).get_secret_value(),
        )
    secret = _given(settings.storage_secret).get_secret_value().encode()
    return LocalStorage(_given(settings.storage_dir), _given(settings.storage_public_url), secret)


def _endpoint(value: str, bucket: str | None) -> str:
    """Scheme and host: a bare host gets https, and the bucket that R2's dashboard appends is dropped."""
    address = value.strip() if "://" in value else f"https://{value.strip()}"
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be an http:// or https:// address")
    if parts.path.strip("/") not in ("", bucket) or parts.query or parts.fragment:
        raise ValueError("must end after the host: the bucket goes to CLOUDFLARE_R2_BUCKET")
    return f"{parts.scheme}://{parts.netloc}"


def _variable(name: str) -> str:
    return str(StorageSettings.model_fields[name].validation_alias)


def _given(value: T | None) -> T:
    """`value`, which the settings' own validation has seen."""
    assert value is not None  # noqa: S101
    return value
