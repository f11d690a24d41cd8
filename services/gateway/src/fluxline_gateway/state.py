"""The state of a training, folded from its events. Pure: no clock, no input or output.

Every fact is a register that keeps the value with the highest stream sequence (or the maximum), so events
may come late, twice or in any order: the same set of events always ends in the same state.
"""

from datetime import datetime
from typing import Literal

from fluxline.contracts import events as e
from fluxline.contracts.errors import ErrorCategory, Stage
from fluxline.contracts.event import Event, Facts
from fluxline.contracts.job import Cost, HubPublication

Status = Literal["requested", "zipping", "training", "publishing", "completed", "failed", "canceling", "canceled"]
StageStatus = Literal["pending", "running", "retrying", "succeeded", "failed", "canceled"]
TERMINAL: frozenset[Status] = frozenset({"completed", "failed", "canceled"})
PIPELINE = (Stage.ZIP_CREATION, Stage.REPLICATE_TRAINING, Stage.HUGGINGFACE_UPLOAD)

ZIPPED, TRAINED, UPLOADED, DONE = 15.0, 85.0, 99.0, 100.0
"""Progress over the whole pipeline, in percent, at the end of each stage."""


class StageFacts(Facts):
    """What the stage events said. `last_*` is the newest of them by sequence."""

    started_at: datetime
    started_sequence: int
    attempts: int
    last_sequence: int
    last_type: str
    last_at: datetime
    waiting_for: str | None = None


class Failure(Facts):
    """Why the training failed, as `training.failed` said."""

    sequence: int
    stage: Stage
    category: ErrorCategory
    retryable: bool
    message: str
    hint: str


class Live(Facts):
    """The trainer's newest report."""

    sequence: int
    step: int | None = None
    steps: int | None = None
    loss: float | None = None
    eta_s: float | None = None
    phase: str | None = None


class Trained(Facts):
    """What the provider delivered."""

    sequence: int
    provider_version: str
    cost: Cost | None = None


class Published(Facts):
    """The finished model."""

    sequence: int
    at: datetime
    model_id: str
    weights_key: str
    huggingface: HubPublication | None = None


class TrainingState(Facts):
    """Everything the events have told; what a reader wants is derived from it."""

    sequence: int = 0
    progress: float = 0.0
    reached: int = 0
    """The furthest stage of the pipeline that has begun: 0 none, 1 zip, 2 training, 3 publishing."""
    stages: dict[Stage, StageFacts] = {}
    live: Live | None = None
    trained: Trained | None = None
    published: Published | None = None
    failure: Failure | None = None
    retry_sequence: int = 0
    cancel_requested: bool = False
    canceled_at: datetime | None = None

    @property
    def error(self) -> Failure | None:
        """The failure that stands: one that was not followed by a retry."""
        return self.failure if self.failure and self.failure.sequence > self.retry_sequence else None

    @property
    def status(self) -> Status:
        """Where the training is; completed wins over canceled, canceled over failed."""
        if self.published:
            return "completed"
        if self.canceled_at:
            return "canceled"
        if self.error:
            return "failed"
        if self.cancel_requested:
            return "canceling"
        return ("requested", "zipping", "training", "publishing")[self.reached]

    @property
    def stage(self) -> Stage | None:
        """The stage that is running or to come; the one that failed; completion at the end."""
        if self.published:
            return Stage.COMPLETION
        if self.error:
            return self.error.stage
        return PIPELINE[max(self.reached, 1) - 1]

    @property
    def waiting_reason(self) -> str | None:
        """Why nothing moves right now, if the newest word of the current stage was that it is tried again."""
        if self.status in TERMINAL or not self.stages:
            return None
        return max(self.stages.values(), key=lambda stage: stage.last_sequence).waiting_for

    def status_of(self, stage: Stage) -> StageStatus:
        """The status of one stage."""
        if stage is Stage.COMPLETION:
            return "succeeded" if self.published else "pending"
        facts = self.stages.get(stage)
        if facts is None:
            return "pending"
        if self.canceled_at and facts.last_type in ("stage.started", "stage.retried"):
            return "canceled"
        return _STAGE_STATUS[facts.last_type]


_STAGE_STATUS: dict[str, StageStatus] = {
    "stage.started": "running",
    "stage.retried": "retrying",
    "stage.succeeded": "succeeded",
    "stage.failed": "failed",
}


def apply(state: TrainingState, event: Event, sequence: int) -> TrainingState:
    """The state after `event`, which the stream stored as `sequence`."""
    changes: dict[str, object] = {"sequence": max(state.sequence, sequence)}
    changes["progress"] = max(state.progress, _progress(event))
    changes["reached"] = max(state.reached, _reached(event))
    changes |= _registers(state, event, sequence)
    return state.model_copy(update=changes)


def _registers(state: TrainingState, event: Event, sequence: int) -> dict[str, object]:
    match event:
        case e.StageStarted() | e.StageSucceeded() | e.StageRetried() | e.StageFailed():
            return {"stages": state.stages | {event.stage: _stage(state.stages.get(event.stage), event, sequence)}}
        case e.TrainingProgressed() if state.live is None or sequence > state.live.sequence:
            facts = event.model_dump(include={"step", "steps", "loss", "eta_s", "phase"})
            return {"live": Live(sequence=sequence, **facts)}
        case e.TrainingSucceeded() if state.trained is None or sequence > state.trained.sequence:
            return {"trained": Trained(sequence=sequence, provider_version=event.provider_version, cost=event.cost)}
        case e.ModelPublished() if state.published is None or sequence > state.published.sequence:
            return {"published": _published(event, sequence)}
        case e.TrainingFailed() if state.failure is None or sequence > state.failure.sequence:
            facts = event.model_dump(include={"stage", "category", "retryable", "message", "hint"})
            return {"failure": Failure(sequence=sequence, **facts)}
        case e.TrainingRetryRequested():
            return {"retry_sequence": max(state.retry_sequence, sequence)}
        case e.TrainingCancelRequested():
            return {"cancel_requested": True}
        case e.TrainingCanceled():
            return {"canceled_at": min(filter(None, (state.canceled_at, event.occurred_at)))}
        case _:
            return {}


def _published(event: e.ModelPublished, sequence: int) -> Published:
    return Published(
        sequence=sequence,
        at=event.occurred_at,
        model_id=str(event.model_id),
        weights_key=event.weights_key,
        huggingface=event.huggingface,
    )


def _stage(known: StageFacts | None, event: e.StageEvent, sequence: int) -> StageFacts:
    waiting_for = None
    if isinstance(event, e.StageRetried):
        waiting_for = f"{event.stage.value} is tried again at {event.next_attempt_at:%H:%M:%S} UTC: {event.message}"
    new = StageFacts(
        started_at=event.occurred_at,
        started_sequence=sequence,
        attempts=event.attempt,
        last_sequence=sequence,
        last_type=event.subject,
        last_at=event.occurred_at,
        waiting_for=waiting_for,
    )
    if known is None:
        return new
    first, last = (
        (known if known.started_sequence <= sequence else new),
        (new if sequence > known.last_sequence else known),
    )
    return last.model_copy(
        update={
            "started_at": first.started_at,
            "started_sequence": first.started_sequence,
            "attempts": max(known.attempts, event.attempt),
        }
    )


def _reached(event: Event) -> int:
    stage = event.stage if isinstance(event, e.StageEvent) else event.stage_of_job
    if isinstance(event, e.ZipCreated):
        return 2
    if isinstance(event, e.TrainingSucceeded | e.ModelPublished):
        return 3
    return PIPELINE.index(stage) + 1 if stage in PIPELINE else 0


def _progress(event: Event) -> float:
    match event:
        case e.ZipProgressed():
            return ZIPPED * min(event.done, event.total) / event.total
        case e.ZipCreated():
            return ZIPPED
        case e.TrainingProgressed():
            return ZIPPED + (TRAINED - ZIPPED) * event.percent / 100
        case e.TrainingSucceeded():
            return TRAINED
        case e.ModelProgressed() if event.total_bytes:
            return TRAINED + (UPLOADED - TRAINED) * min(1.0, event.done_bytes / event.total_bytes)
        case e.ModelPublished():
            return DONE
        case _:
            return 0.0
