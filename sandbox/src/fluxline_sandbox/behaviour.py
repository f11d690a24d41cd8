"""What a test may change while the sandbox runs: durations, lags, outcomes and limits."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Delay = Annotated[float, Field(ge=0, le=3_600)]


class Behaviour(BaseModel):
    """Answer and body of `/_sandbox/settings`; a partial body changes only the fields it names.

    Durations are seconds. A training keeps the duration and the outcome that were set when it was created.
    """

    model_config = ConfigDict(extra="forbid")

    training_seconds: float = Field(default=4.0, ge=0, le=86_400)
    generation_seconds: float = Field(default=0.3, ge=0, le=3_600)
    list_lag_seconds: float = Field(default=0.0, ge=0, le=86_400)
    training_outcome: Literal["succeeded", "failed", "aborted"] = "succeeded"
    training_error: str = Field(default="CUDA out of memory. Tried to allocate 72.00 MiB", max_length=10_000)
    lora_blocks: int = Field(default=2, ge=1, le=57)
    low_credit: bool = False
    credit_exhausted: bool = False
    creates_per_minute: int = Field(default=600, ge=1, le=1_000_000)
    max_zip_bytes: int = Field(default=1_000_000_000, ge=1)
    webhook_retry_delays: list[Delay] = Field(default=[0.5, 1, 2, 4, 8, 16], max_length=20)
