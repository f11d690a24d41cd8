"""What the zipper is told by its environment."""

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from fluxline.contracts.catalog import ZIPPER
from fluxline.runtime.settings import ServiceSettings


class ZipperSettings(ServiceSettings):
    """Variables with the prefix `ZIPPER_`."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", populate_by_name=True, env_prefix="ZIPPER_")

    http_port: int = Field(8001, ge=0, le=65535, description="the port of the health routes")
    longest_side: int = Field(
        1024, ge=512, le=2048, description="pixels; the trainer scales down from it to each of its resolutions"
    )
    deadline_s: float = Field(600.0, gt=0, description="seconds that one archive may take in all")
    retry_attempts: int = Field(10, ge=1, le=ZIPPER.max_deliver, description="how often an archive is tried in all")
    retry_base_s: float = Field(1.0, gt=0, le=60, description="the first wait of a retry; it doubles up to its cap")
