"""Histories of a training as the stages, the gateway and its owner may write them: the strategies of property tests.

`Pipeline` says what may happen next and is told what did; it knows the truth, so that a fold can be held to it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias
from uuid import UUID

from hypothesis import strategies as st

from fluxline.contracts import events as e
from fluxline.contracts.errors import ErrorCategory, FluxlineError, Stage
from fluxline.contracts.event import Event
from fluxline.contracts.ids import model_id_of
from fluxline.runtime.handlers import training_failed
from fluxline.runtime.stages import StageAttempt
from fluxline_gateway.trainings.fold import apply
from fluxline_gateway.trainings.state import PIPELINE, TrainingState
from streams import requested

START = datetime(2026, 11, 24, 10, tzinfo=UTC)
FIRST_SEQUENCE = 1_700_000_000_000_000
"""As of a new stream, which counts on from the clock."""
Sequenced: TypeAlias = tuple[int, Event]
_SHA256 = "0" * 64


class Outage(FluxlineError):
    """Somebody else's service is away."""

    category = ErrorCategory.SERVICE_ERROR
    hint = "Wait."


class Throttled(FluxlineError):
    """Too many requests."""

    category = ErrorCategory.RATE_LIMIT
    hint = "Wait."


class ArchiveGone(FluxlineError):
    """The archive is not there any more."""

    category = ErrorCategory.FILE_ERROR
    resume_from = Stage.ZIP_CREATION
    hint = "Retry."


def fold(sequenced: list[Sequenced], state: TrainingState | None = None) -> TrainingState:
    """The state after these events, in this order."""
    state = state or TrainingState()
    for sequence, event in sequenced:
        state = apply(state, event, sequence)
    return state


@dataclass
class Pipeline:
    """One training, its stages working one after the other: each step appends to `stream` what would be published."""

    training_id: UUID
    stream: list[Sequenced] = field(default_factory=list)
    run: int = 0
    stage: int = 0
    attempt: int = 0
    """0 between two attempts."""
    attempts: int = 0
    end: str | None = None
    failed_at: Stage | None = None
    cancel_run: int = -1
    replay: int | None = None

    def __post_init__(self) -> None:
        self.request = requested(self.training_id)
        self.zipped: e.ZipCreated | None = None
        self.trained: e.TrainingSucceeded | None = None
        self.cause: Event = self.request
        self.emit(self.request)

    @property
    def status(self) -> str:
        """What the training's status has to be."""
        if self.end:
            return self.end
        if self.cancel_run >= self.run:
            return "canceling"
        if self.stage == 0 and self.attempts == 0 and self.run == 0:
            return "requested"
        return ("zipping", "training", "publishing")[self.stage]

    def emit(self, event: Event) -> None:
        """Publish, one sequence and one second after the other; the outbox takes an event once."""
        if any(known.event_id == event.event_id for _, known in self.stream):
            return
        number = len(self.stream)
        event = event.model_copy(update={"occurred_at": START + timedelta(seconds=number)})
        self.stream.append((FIRST_SEQUENCE + number, event))

    def steps(self) -> list[Callable[[], None]]:
        """What may happen next, the likely things several times."""
        if self.end == "failed":
            return [self.retry, self.retry, self.replay_letter]
        if self.end:
            return []
        rare = [self.cancel] if self.cancel_run < self.run else [self.stop] * 3
        if self.run and self.replay is None:
            rare.append(self.fail_late)
        if self.attempt == 0:
            return [*[self.start] * 12, *rare]
        return [*[self.succeed] * 8, *[self.progress] * 5, self.hiccup, self.hiccup, self.fail, self.time_out, *rare]

    def start(self) -> None:
        self.attempts += 1
        self.attempt = self.attempts
        self.emit(self._attempt().started())

    def progress(self) -> None:
        number = len(self.stream)
        done = number % 100
        match PIPELINE[self.stage]:
            case Stage.ZIP_CREATION:
                facts: dict[str, Any] = {"done": done, "total": 100, "current": "x", "size_bytes": done}
                self.emit(e.ZipProgressed.caused_by(self.cause, discriminator=str(number), **facts))
            case Stage.REPLICATE_TRAINING:
                facts = {"percent": done, "step": done, "steps": 100, "phase": "starting" if done < 9 else "training"}
                self.emit(e.TrainingProgressed.caused_by(self.cause, discriminator=str(number), **facts))
            case _:
                facts = {"done_bytes": done, "total_bytes": 100}
                self.emit(e.ModelProgressed.caused_by(self.cause, discriminator=str(number), **facts))

    def succeed(self) -> None:
        attempt, job = self._attempt(), self.request.job_facts() | {"run": self.run}
        weights = {"weights_key": "w.tar", "sha256": _SHA256, "size_bytes": 1, "provider": "r", "provider_version": "v"}
        if self.stage == 0:
            archive = {"zip_key": "z.zip", "size_bytes": 1, "sha256": _SHA256, "image_count": 5}
            self.cause = self.zipped = e.ZipCreated.caused_by(self.cause, **job, **archive)
        elif self.stage == 1:
            self.cause = self.trained = e.TrainingSucceeded.caused_by(self.cause, **job, **weights, external_id="r1")
        else:
            model_id = model_id_of(self.training_id)
            self.cause = e.ModelPublished.caused_by(self.cause, **job, **weights, model_id=model_id)
            self.end = "completed"
        self.emit(self.cause)
        self.emit(attempt.succeeded())
        self.stage, self.attempt, self.attempts, self.replay = min(self.stage + 1, 2), 0, 0, None

    def hiccup(self) -> None:
        error = Throttled() if len(self.stream) % 2 else Outage()
        self.emit(self._attempt().retried(error, 30))
        self.attempt = 0

    def fail(self) -> None:
        self.fail_with(ArchiveGone() if self.stage == 1 and len(self.stream) % 2 else Outage())

    def fail_with(self, error: FluxlineError) -> None:
        self.emit(self._attempt().failed(error))
        failed = training_failed(self._attempt(), error)
        assert failed
        self.emit(failed)
        self.failed_at = error.resume_from or PIPELINE[self.stage]
        self.end = "failed"

    def fail_late(self) -> None:
        """A process that slept through the retry gives up on the run before."""
        facts = {"category": ErrorCategory.INTERNAL, "retryable": True, "message": "m", "hint": "h", "attempts": 1}
        key, run, stage = f"late {len(self.stream)}", self.run - 1, PIPELINE[self.stage]
        self.emit(e.TrainingFailed.first(key, training_id=self.training_id, run=run, stage=stage, **facts))

    def time_out(self) -> None:
        """The watchdog's deadline: the stage itself says nothing."""
        facts = {"category": ErrorCategory.TIMEOUT, "retryable": True, "message": "m", "hint": "h", "attempts": 1}
        key, stage = f"{self.training_id}/{self.run}/{len(self.stream)}", PIPELINE[self.stage]
        self.emit(e.TrainingFailed.first(key, training_id=self.training_id, run=self.run, stage=stage, **facts))
        self._want_stopped("deadline")
        self.failed_at, self.end = stage, "failed"

    def cancel(self) -> None:
        self._want_stopped("deleted" if len(self.stream) % 2 else "owner")
        self.cancel_run = self.run

    def stop(self) -> None:
        self.emit(e.TrainingCanceled.caused_by(self.cause, stage=PIPELINE[self.stage], run=self.run))
        self.end = "canceled"

    def retry(self) -> None:
        assert self.failed_at
        self.run += 1
        key, stage = f"{self.training_id}/{self.run}", self.failed_at
        facts = self.request.job_facts() | {"training_id": self.training_id, "run": self.run, "from_stage": stage}
        self.cause = e.TrainingRetryRequested.first(key, **facts)
        self.emit(self.cause)
        self._go_on_at(PIPELINE.index(stage))

    def replay_letter(self) -> None:
        """The dead letter of the stage that failed is delivered once more, and begins at once."""
        stage = self.stage
        self._go_on_at(stage)
        self.replay = 100 + len(self.stream)
        self.start()

    def _go_on_at(self, stage: int) -> None:
        self.stage, self.attempt, self.attempts = stage, 0, 0
        self.end, self.failed_at, self.replay = None, None, None

    def _want_stopped(self, reason: str) -> None:
        key = f"{self.training_id}/{self.run}/{reason}"
        self.emit(e.TrainingCancelRequested.first(key, training_id=self.training_id, run=self.run, reason=reason))

    def _attempt(self) -> StageAttempt:
        return StageAttempt(PIPELINE[self.stage], "test", self.cause, self.attempt, replay=self.replay)


@st.composite
def pipelines(draw: st.DrawFn, *, max_steps: int = 40) -> Pipeline:
    """A training that has got somewhere, with everything that its stream holds."""
    pipeline = Pipeline(UUID(int=draw(st.integers(1, 2**64))))
    for _ in range(draw(st.integers(0, max_steps))):
        if not pipeline.steps():
            break
        draw(st.sampled_from(pipeline.steps()))()
    return pipeline


@st.composite
def deliveries(draw: st.DrawFn, stream: list[Sequenced]) -> list[Sequenced]:
    """The stream as at-least-once delivery may bring it: every message, in any order, some of them again."""
    again = draw(st.lists(st.sampled_from(stream), max_size=10))
    return draw(st.permutations([*stream, *again]))
