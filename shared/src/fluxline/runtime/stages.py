"""Stage events: what the runtime says around an attempt, with ids that a redelivery makes again."""

from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any, Final, TypeVar

from fluxline.contracts.errors import FluxlineError, Stage
from fluxline.contracts.event import Event
from fluxline.contracts.events import StageEvent, StageFailed, StageRetried, StageStarted, StageSucceeded
from fluxline.runtime.errors import CutOff
from fluxline.runtime.redaction import redact, redact_text

S = TypeVar("S", bound=StageEvent)
MENDED_ALONE: Final = "It is tried again by itself"
"""How the hints of errors begin that retrying may mend."""
_RETRY: Final = "retry the training, which goes on from here"


class StageAttempt:
    """One attempt at a stage, from start to its one end; makes the events, publishes nothing."""

    def __init__(
        self,
        stage: Stage,
        service: str,
        cause: Event,
        attempt: int,
        *,
        elapsed_s: float | None = None,
        replay: int | None = None,
    ) -> None:
        self.stage = stage
        self.service = service
        self.cause = cause
        self.attempt = attempt
        self.replay = replay
        self._started = monotonic() - (elapsed_s or 0.0)

    def started(self) -> StageStarted:
        """The attempt begins."""
        return self._make(StageStarted, replay=self.replay)

    def cut_off(self) -> StageRetried:
        """The end of an attempt that has none of its own, because its process ended; how long it ran is not known.

        Where the attempt did end in a retry, this has the id of that event, and the stream drops it.
        """
        self._started = monotonic()
        return self.retried(CutOff(), 0.0)

    def succeeded(self, provider_ids: dict[str, str] | None = None) -> StageSucceeded:
        """The attempt ended well."""
        return self._make(StageSucceeded, duration_ms=self.duration_ms, provider_ids=provider_ids or {})

    def retried(self, error: FluxlineError, delay_s: float) -> StageRetried:
        """The attempt failed; the next one starts in `delay_s`."""
        return self._make(
            StageRetried,
            duration_ms=self.duration_ms,
            category=error.category,
            message=redact_text(error.message),
            hint=error.hint,
            next_attempt_at=datetime.now(UTC) + timedelta(seconds=delay_s),
            provider_ids=_provider_ids(error),
        )

    def failed(self, error: FluxlineError) -> StageFailed:
        """The attempt failed and no other follows."""
        return self._make(
            StageFailed,
            duration_ms=self.duration_ms,
            category=error.category,
            retryable=error.retryable,
            message=redact_text(error.message),
            hint=self.last_hint(error),
            context=_scalars(error.context),
            provider_ids=_provider_ids(error),
        )

    def last_hint(self, error: FluxlineError) -> str:
        """The error's hint once no other attempt follows: nobody "tries again by itself" any more."""
        if not error.hint.startswith(MENDED_ALONE):
            return error.hint
        tried = f"All {self.attempt} attempts failed" if self.attempt > 1 else "It is not tried again by itself"
        again = "ask for the images again" if self.stage is Stage.IMAGE_GENERATION else _RETRY
        return f"{tried}: once the cause is mended, {again}{error.hint.removeprefix(MENDED_ALONE)}"

    @property
    def duration_ms(self) -> int:
        """Milliseconds since the attempt began."""
        return int((monotonic() - self._started) * 1000)

    def _make(self, event_class: type[S], **facts: Any) -> S:
        return event_class.caused_by(
            self.cause,
            discriminator=f"{self.stage}/{self.attempt}" if self.replay is None else self._of_replay(),
            stage=self.stage,
            service=self.service,
            attempt=self.attempt,
            generation_id=getattr(self.cause, "generation_id", None),
            **facts,
        )

    def _of_replay(self) -> str:
        return f"{self.stage}/r{self.replay}/{self.attempt}"


def provider_ids_of(result: object) -> dict[str, str]:
    """The run that a handler's event tells of, by its provider."""
    provider, run = getattr(result, "provider", None), getattr(result, "external_id", None)
    return {provider: run} if provider and run else {}


def _provider_ids(error: FluxlineError) -> dict[str, str]:
    """Whose failure it was, where the error says so, and in which run."""
    provider = error.context.get("provider")
    return {str(provider): redact_text(str(error.context.get("prediction_id", "")))} if provider else {}


def _scalars(context: dict[str, Any]) -> dict[str, Any]:
    plain = {k: v if isinstance(v, (str, int, float, bool)) or v is None else str(v) for k, v in context.items()}
    redacted: dict[str, Any] = redact(plain)
    return {k: v[:1000] if isinstance(v, str) else v for k, v in redacted.items()}
