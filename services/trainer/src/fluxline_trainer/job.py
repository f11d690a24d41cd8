"""A paid training as the trainer knows it: an immutable value, changed by `dataclasses.replace`."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from fluxline.contracts.errors import Stage
from fluxline.contracts.events import TrainingCancelRequested, ZipCreated
from fluxline.runtime.stages import StageAttempt

STAGE = Stage.REPLICATE_TRAINING
SERVICE = "trainer"


class JobState(StrEnum):
    """Where a job is; `submitting` means that a paid request may or may not have been made."""

    ZIP_READY = "zip_ready"
    SUBMITTING = "submitting"
    TRAINING = "training"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"

    @property
    def is_final(self) -> bool:
        """Whether nothing is left to do."""
        return self in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELED)


@dataclass(frozen=True)
class Job:
    """One row; times are aware. See the migrations for what the counters count."""

    training_id: UUID
    state: JobState
    cause: ZipCreated
    run: int = 0
    trace: dict[str, str] = field(default_factory=dict)
    attempt: int = 0
    doubts: int = 0
    submit_at: datetime | None = None
    first_submit_at: datetime | None = None
    destination: str | None = None
    trainer_version: str | None = None
    provider_id: str | None = None
    next_check_at: datetime | None = None
    polls: int = 0
    failures: int = 0
    refusals: int = 0
    percent: float = 0.0
    step: int | None = None
    phase: str = ""
    stage_attempt: int = 0
    stage_started_at: datetime | None = None
    error: str | None = None
    cancel: TrainingCancelRequested | None = None
    ended_runs: tuple[str, ...] = ()
    published: bool = False

    @property
    def orders(self) -> tuple[int, str | None]:
        """What others may change while the job is worked on: its run, and the request that stops it."""
        return self.run, str(self.cancel.event_id) if self.cancel else None

    def without_run(self) -> "Job":
        """The job once the provider's run has ended without weights: it is never looked for again."""
        if self.provider_id is None:
            return self
        return replace(self, provider_id=None, submit_at=None, ended_runs=(*self.ended_runs, self.provider_id))

    def stage(self, now: datetime) -> StageAttempt:
        """The running attempt of the stage, for its events."""
        elapsed_s = (now - (self.stage_started_at or now)).total_seconds()
        return StageAttempt(STAGE, SERVICE, self.cause, max(1, self.stage_attempt), elapsed_s=max(0.0, elapsed_s))

    def age_s(self, now: datetime) -> float:
        """Seconds since the paid request was announced; 0 before."""
        return (now - self.submit_at).total_seconds() if self.submit_at else 0.0
