"""A run at a provider, shaped as Replicate's raw JSON: that client's own model refuses the status `aborted`."""

from datetime import datetime
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, field_validator

from fluxline.runtime.redaction import redact_text
from fluxline_generator.errors import ContentRefused, RunLost
from fluxline_generator.orders import Order

_RUNNING: Final = frozenset({"starting", "processing"})
_REFUSAL: Final = "nsfw content"  # the models' wording; Replicate has no code for it
_MAX_SAID_CHARS: Final = 300


class Prediction(BaseModel):
    """What a provider tells of a run; Replicate's `input` may be gone an hour after its end. Metrics are seconds."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str
    status: str
    created_at: datetime
    model: str | None = None
    version: str | None = None
    input: dict[str, Any] = {}
    output: Any = None
    error: Any = None
    metrics: dict[str, float] = Field(default={})

    @field_validator("id")
    @classmethod
    def _is_no_credential(cls, value: str) -> str:
        if not _is_plain(value):
            raise ValueError("looks like a credential")
        return value

    @field_validator("metrics", mode="before")
    @classmethod
    def _only_numbers(cls, value: Any) -> dict[str, float]:
        given = value if isinstance(value, dict) else {}
        return {name: number for name, number in given.items() if isinstance(number, (int, float)) and _is_plain(name)}

    @field_validator("input", mode="before")
    @classmethod
    def _maybe_removed(cls, value: Any) -> Any:
        return value or {}

    @property
    def ended(self) -> bool:
        """Whether the status is terminal (succeeded, failed, canceled, aborted)."""
        return self.status not in _RUNNING

    def answers(self, order: Order) -> bool:
        """Whether this run was made from `order`: same target, same input."""
        return order.target in (self.version, self.model) and all(
            self.input.get(name) == value for name, value in order.input.items()
        )


def _is_plain(text: str) -> bool:
    """Whether a name or an id may be kept: what looks like a credential may not."""
    return redact_text(text) == text


def tells_refused_content(said: str) -> bool:
    """Whether the provider's explanation is that of its content policy."""
    return _REFUSAL in said.lower()


def image_urls(prediction: Prediction) -> list[str]:
    """Where the images of an ended run are, for about an hour. Raises ContentRefused or RunLost."""
    if prediction.status != "succeeded":
        said = redact_text(str(prediction.error or "no reason given"))[:_MAX_SAID_CHARS]
        if tells_refused_content(said):
            raise ContentRefused(f"The provider refused the content: {said}", prediction_id=prediction.id)
        raise RunLost(f"The provider's run ended as {prediction.status}: {said}", prediction_id=prediction.id)
    output = [prediction.output] if isinstance(prediction.output, str) else prediction.output
    if not isinstance(output, list) or not output or not all(isinstance(url, str) for url in output):
        raise RunLost("The provider's run succeeded without images", prediction_id=prediction.id)
    return output
