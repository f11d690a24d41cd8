"""The state of a training: what its events have told (`fold`), and what a reader wants to know of it. Pure."""

from datetime import datetime
from typing import Literal

from fluxline.contracts.errors import ErrorCategory, Stage
from fluxline.contracts.event import Facts
from fluxline.contracts.job import Cost, HubPublication
from fluxline_gateway.trainings import waiting

Status = Literal["requested", "zipping", "training", "publishing", "completed", "failed", "canceling", "canceled"]
StageStatus = Literal["pending", "running", "retrying", "succeeded", "failed", "canceled"]
TERMINAL: frozenset[Status] = frozenset({"completed", "failed", "canceled"})
PIPELINE = (Stage.ZIP_CREATION, Stage.REPLICATE_TRAINING, Stage.HUGGINGFACE_UPLOAD)
NEVER = -1
"""A run that no training has."""


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
    run: int = 0
    at: datetime | None = None
    stage: Stage
    category: ErrorCategory
    retryable: bool
    message: str
    hint: str
    resume_from: Stage | None = None


class Retry(Facts):
    """The newest run and where it began; `sequence` is that of its event, before it is known the newest until then."""

    run: int
    sequence: int
    from_stage: Stage


class Canceled(Facts):
    """The newest run that was stopped because its owner wanted that, and when that was first said."""

    run: int
    at: datetime


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
    last_event_at: datetime | None = None
    """When the newest event occurred, by the clock of who emitted it."""
    signs: dict[Stage, int] = {}
    """The newest sequence that showed each stage of the pipeline as begun, or as next."""
    moved_at: dict[Stage, datetime] = {}
    """When each stage last said anything."""
    stages: dict[Stage, StageFacts] = {}
    live: Live | None = None
    trained: Trained | None = None
    published: Published | None = None
    failure: Failure | None = None
    resumed_sequence: int = 0
    """Of the newest start of a stage by a replayed dead letter."""
    given_up_sequence: int = 0
    """Of the newest failure of such a replay, of whichever run."""
    retry: Retry | None = None
    cancel_run: int = NEVER
    """The newest run that the owner wants stopped."""
    canceled: Canceled | None = None

    @property
    def canceled_at(self) -> datetime | None:
        """When the training was canceled; an older run's cancelation ends no newer run."""
        return self.canceled.at if self.canceled and self.canceled.run >= self.run else None

    @property
    def run(self) -> int:
        """How often the training was retried."""
        return self.retry.run if self.retry else 0

    @property
    def run_sequence(self) -> int:
        """Events up to this sequence belong to earlier runs."""
        return self.retry.sequence if self.retry else 0

    @property
    def error(self) -> Failure | None:
        """The failure that stands: it is of the newest run, and nobody has replayed the dead letter since."""
        if self.failure is None or self.failure.run < self.run:
            return None
        is_resumed = self.resumed_sequence > max(self.failure.sequence, self.given_up_sequence)
        return None if is_resumed else self.failure

    @property
    def status(self) -> Status:
        """Where the training is; completed wins over canceled, canceled over failed."""
        if self.published:
            return "completed"
        if self.canceled_at:
            return "canceled"
        if self.error:
            return "failed"
        if self.cancel_run >= self.run:
            return "canceling"
        return ("requested", "zipping", "training", "publishing")[self.reached]

    @property
    def reached(self) -> int:
        """The furthest stage of the pipeline that this run has begun: 0 none, 1 zip, 2 training, 3 publishing."""
        begun = [stage for stage, sequence in self.signs.items() if sequence > self.run_sequence]
        if self.retry:
            begun.append(self.retry.from_stage)
        return max((PIPELINE.index(stage) + 1 for stage in begun), default=0)

    @property
    def stage(self) -> Stage | None:
        """The stage that is running or to come; the one that failed; completion at the end."""
        if self.published:
            return Stage.COMPLETION
        if self.error:
            return self.error.stage
        return PIPELINE[max(self.reached, 1) - 1]

    @property
    def last_moved_at(self) -> datetime | None:
        """When the current stage last said anything, in whichever run."""
        return self.moved_at.get(self.stage) if self.stage else None

    @property
    def phase(self) -> str | None:
        """What the provider is doing, while it trains."""
        is_current = self.live and self.live.sequence > self.run_sequence
        return self.live.phase if self.live and is_current and self.status == "training" else None

    @property
    def waiting_reason(self) -> str | None:
        """Why nothing moves right now: the newest word was that it is tried again, or the provider has not begun."""
        words = [facts for facts in self.stages.values() if facts.last_sequence > self.run_sequence]
        if self.status in TERMINAL or not words:
            return None
        newest = max(words, key=lambda facts: facts.last_sequence)
        return newest.waiting_for or (waiting.PROVIDER_QUEUE if self.phase == "starting" else None)

    def status_of(self, stage: Stage) -> StageStatus:
        """The status of one stage."""
        if stage is Stage.COMPLETION:
            return "succeeded" if self.published else "pending"
        facts = self.stages.get(stage)
        if facts is None or self._is_to_come_again(stage, facts):
            return "pending"
        is_open = facts.last_type in ("stage.started", "stage.retried")
        if self.canceled_at and is_open:
            return "canceled"
        if self.error and self.error.stage is stage and is_open:
            return "failed"
        return _STAGE_STATUS[facts.last_type]

    def ended_at(self, stage: Stage) -> datetime | None:
        """When the stage ended, if it has; the training's end is the end of a stage that did not say its own."""
        facts, status = self.stages.get(stage), self.status_of(stage)
        if facts is None or status not in ("succeeded", "failed", "canceled"):
            return None
        if facts.last_type in ("stage.succeeded", "stage.failed"):
            return facts.last_at
        return self.canceled_at or (self.error.at if self.error else None)

    def _is_to_come_again(self, stage: Stage, facts: StageFacts) -> bool:
        """Whether the newest run repeats the stage and has not got there."""
        if self.retry is None or facts.last_sequence > self.retry.sequence or stage not in PIPELINE:
            return False
        return PIPELINE.index(stage) >= PIPELINE.index(self.retry.from_stage)


_STAGE_STATUS: dict[str, StageStatus] = {
    "stage.started": "running",
    "stage.retried": "retrying",
    "stage.succeeded": "succeeded",
    "stage.failed": "failed",
}
