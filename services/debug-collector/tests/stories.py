"""Histories of one training, told event by event with a clock of their own: what the stages say, and when."""

from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any, Self
from uuid import UUID, uuid4

from fluxline.contracts.debugging import StoredEvent, Summary, Timeline
from fluxline.contracts.errors import ErrorCategory, FluxlineError, Stage
from fluxline.contracts.event import Event
from fluxline.contracts.events import (
    ModelCardRequested,
    ModelCardUpdated,
    ModelPublished,
    StageRetried,
    TrainingCanceled,
    TrainingCancelRequested,
    TrainingFailed,
    TrainingProgressed,
    TrainingRetryRequested,
    TrainingStarted,
    TrainingSucceeded,
    ZipCreated,
    ZipProgressed,
)
from fluxline.runtime.envelope import Received, body_of, headers_of
from fluxline.runtime.handlers import training_failed
from fluxline.runtime.stages import StageAttempt
from fluxline_collector.history import stored_event
from fluxline_collector.record import Record, record_of
from fluxline_collector.summary import summarise
from fluxline_collector.timeline import timeline_of
from streams import requested

START = datetime(2026, 11, 24, 10, tzinfo=UTC)
TRACE = "0af7651916cd43dd8448eb211c80319c"
SHA256 = "0" * 64
COMMIT = "a" * 40
SERVICES = {
    Stage.ZIP_CREATION: "zipper",
    Stage.REPLICATE_TRAINING: "trainer",
    Stage.HUGGINGFACE_UPLOAD: "publisher",
    Stage.IMAGE_GENERATION: "generator",
}
ZIP, TRAIN, UPLOAD = Stage.ZIP_CREATION, Stage.REPLICATE_TRAINING, Stage.HUGGINGFACE_UPLOAD


class HubDown(FluxlineError):
    """Hugging Face does not answer."""

    category = ErrorCategory.SERVICE_ERROR
    hint = "It is tried again by itself; see https://status.huggingface.co if it lasts."


class WrongToken(FluxlineError):
    """Hugging Face refused the token."""

    category = ErrorCategory.AUTHENTICATION
    hint = "Set HUGGINGFACE_API_TOKEN."


class Throttled(FluxlineError):
    """Replicate asks to slow down."""

    category = ErrorCategory.RATE_LIMIT
    hint = "It is tried again by itself; credit below $5 lowers the limit."


class ArchiveGone(FluxlineError):
    """The archive's link does not lead to the archive."""

    category = ErrorCategory.FILE_ERROR
    resume_from = Stage.ZIP_CREATION
    hint = "The stored archive is gone or changed: retry the training, which makes it again from the photos."


class ToldAttempt(StageAttempt):
    """An attempt that worked exactly as long as it is told, however long the telling takes."""

    def __init__(self, *facts: Any, elapsed_s: float, replay: int | None) -> None:
        super().__init__(*facts, elapsed_s=elapsed_s, replay=replay)
        self._told_ms = round(elapsed_s * 1000)

    @property
    def duration_ms(self) -> int:
        """Milliseconds."""
        return self._told_ms


class Story:
    """A training as it goes; each method tells what happens next and returns the story. Seconds pass by `after`."""

    def __init__(self, training_id: UUID | None = None, *, name: str = "Ada") -> None:
        self.training_id = training_id or uuid4()
        self.now = START
        self.run = 0
        self.messages: list[Received] = []
        self.cause: Event = requested(self.training_id, name=name)
        self.requested = self.cause
        self.say(self.cause)

    def after(self, seconds: float) -> Self:
        """Time passes."""
        self.now += timedelta(seconds=seconds)
        return self

    def say(self, event: Event, *, late_s: float = 0.0) -> Self:
        """The event occurs now (or did so, `late_s` ago) and is stored now."""
        at = self.now - timedelta(seconds=late_s)
        changes: dict[str, Any] = {"occurred_at": at}
        if isinstance(event, StageRetried):
            changes["next_attempt_at"] = at + timedelta(
                seconds=round((event.next_attempt_at - datetime.now(UTC)).total_seconds())
            )
        event = event.model_copy(update=changes)
        return self.raw(event.subject, body_of(event), headers_of(event, "test"))

    def raw(self, subject: str, body: bytes, headers: dict[str, str] | None = None) -> Self:
        """Any message."""
        headers = (headers or {}) | {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
        self.messages.append(Received(subject, body, headers, len(self.messages) + 1, 1, self.now))
        return self

    def start(self, stage: Stage, attempt: int = 1, *, replay: int | None = None) -> Self:
        """An attempt begins."""
        return self.say(self._attempt(stage, attempt, 0, replay).started())

    def succeed(self, stage: Stage, attempt: int = 1, *, worked_s: float = 2.0, **provider_ids: str) -> Self:
        """The attempt ends well, `worked_s` after it began."""
        return self.after(worked_s).say(self._attempt(stage, attempt, worked_s).succeeded(provider_ids))

    def retry(
        self, stage: Stage, error: FluxlineError, attempt: int = 1, *, worked_s: float = 1.0, delay_s: float = 10.0
    ) -> Self:
        """The attempt fails and is to be repeated in `delay_s`."""
        return self.after(worked_s).say(self._attempt(stage, attempt, worked_s).retried(error, delay_s))

    def fail(
        self, stage: Stage, error: FluxlineError, attempt: int = 1, *, worked_s: float = 1.0, replay: int | None = None
    ) -> Self:
        """The attempt fails for good, and the training with it."""
        last = self._attempt(stage, attempt, worked_s, replay)
        end = training_failed(last, error)
        assert isinstance(end, TrainingFailed)
        return self.after(worked_s).say(last.failed(error)).say(end.model_copy(update={"run": self.run}))

    def zipped(self) -> Self:
        """The first stage, without trouble: 1 s in the queue, 4 s of work."""
        self.after(1).start(ZIP)
        for done in range(1, 6):
            facts = {"done": done, "total": 5, "current": f"image_00{done}.jpg", "size_bytes": done * 1000}
            self.after(0.5).say(ZipProgressed.caused_by(self.cause, discriminator=str(done), **facts))
        created = ZipCreated.caused_by(
            self.cause, **self._job(), zip_key="z.zip", size_bytes=9, sha256=SHA256, image_count=5
        )
        self.after(1.5).say(created).say(self._attempt(ZIP, 1, 4.0).succeeded())
        self.cause = created
        return self

    def accepted(self) -> Self:
        """The provider takes the training on."""
        facts = {"provider": "replicate", "external_id": "r1", "destination": "ada/x", "trainer_version": "t"}
        return self.say(TrainingStarted.caused_by(self.cause, **facts))

    def trains(self, percent: float, *, phase: str = "training") -> Self:
        """The provider's log moves on."""
        facts: dict[str, Any] = {"percent": percent, "phase": phase}
        if phase == "training":
            step = int(percent * 10)
            facts |= {"step": step, "steps": 1000, "loss": 1.0 / (1 + percent), "eta_s": 100 - percent}
        return self.say(TrainingProgressed.caused_by(self.cause, discriminator=f"{phase}/{percent}", **facts))

    def trained(self, *, worked_s: float = 100.0, external_id: str = "r1") -> Self:
        """The second stage, without trouble: 2 s in the queue, then `worked_s`."""
        self.after(2).start(TRAIN).accepted().trains(0, phase="starting")
        self.after(worked_s / 2).trains(50).after(worked_s / 2)
        return self.weights(external_id=external_id, worked_s=worked_s)

    def weights(self, *, attempt: int = 1, worked_s: float, external_id: str = "r1") -> Self:
        """The training has succeeded, and its attempt ends now."""
        cost = {"amount_usd": 1.5, "basis": "1000 s of an H100"}
        succeeded = TrainingSucceeded.caused_by(
            self.cause,
            **self._job(),
            weights_key="w.tar",
            sha256=SHA256,
            size_bytes=9,
            provider="replicate",
            external_id=external_id,
            provider_version="v1",
            cost=cost,
        )
        self.say(succeeded).say(self._attempt(TRAIN, attempt, worked_s).succeeded({"replicate": external_id}))
        self.cause = succeeded
        return self

    def published(self, attempt: int = 1, *, worked_s: float = 3.0) -> Self:
        """The end, with the attempt that led to it."""
        hub = {"repo": "ada/x", "commit": COMMIT, "url": "https://huggingface.co/ada/x", "private": True}
        facts = {"model_id": uuid4(), "weights_key": "m.safetensors", "sha256": SHA256, "size_bytes": 1}
        event = ModelPublished.caused_by(
            self.cause, **self._job(), **facts, huggingface=hub, provider="replicate", provider_version="v1"
        )
        return self.after(worked_s).say(event).say(self._attempt(UPLOAD, attempt, worked_s).succeeded())

    def sampled(self) -> Self:
        """Sample images go to the model card."""
        hub = {"repo": "ada/x", "commit": COMMIT, "url": "https://huggingface.co/ada/x", "private": True}
        shown = {"text": "ADATOK at sea", "image_key": "generations/a/0.webp"}
        facts: dict[str, Any] = {"model_id": uuid4(), "samples": [shown], "revision": 1}
        asked = ModelCardRequested.caused_by(self.cause, **self._job(), **facts, huggingface=hub)
        updated = ModelCardUpdated.caused_by(asked, **facts, repo=hub["repo"], commit="b" * 40, url=hub["url"])
        return self.after(60).say(asked).after(2).say(updated)

    def asked_to_retry(self, from_stage: Stage) -> Self:
        """The owner wants the failed training to go on."""
        self.run += 1
        facts = self._job() | {"training_id": self.training_id}
        self.cause = TrainingRetryRequested.first(f"{self.training_id}/{self.run}", from_stage=from_stage, **facts)
        return self.say(self.cause)

    def asked_to_stop(self, reason: str = "owner") -> Self:
        """Somebody wants the run stopped."""
        facts = {"training_id": self.training_id, "run": self.run, "reason": reason}
        return self.say(TrainingCancelRequested.first(f"{self.training_id}/{self.run}", **facts))

    def canceled(self, stage: Stage) -> Self:
        """The stage in charge has stopped."""
        return self.say(TrainingCanceled.caused_by(self.cause, stage=stage, run=self.run))

    def timed_out(self, stage: Stage) -> Self:
        """The watchdog ends the run."""
        facts = {
            "training_id": self.training_id,
            "stage": stage,
            "category": ErrorCategory.TIMEOUT,
            "retryable": True,
            "message": f"{stage.value} took longer than 4 h",
            "hint": "It was waiting for: provider queue. Retry the training.",
            "attempts": 1,
            "run": self.run,
        }
        return self.say(TrainingFailed.first(f"{self.training_id}/{self.run}/deadline", **facts))

    def events(self) -> list[StoredEvent]:
        """What the collector has stored of it."""
        return [stored_event(self._row(record_of(message))) for message in self.messages]

    def _row(self, record: Record) -> Any:
        """A row as it is read: a mapping."""
        return {field.name: getattr(record, field.name) for field in fields(record)} | {"received_at": self.now}

    def summary(self) -> Summary:
        """As it would be told now."""
        return summarise(self.training_id, self.events(), now=self.now)

    def timeline(self) -> Timeline:
        """As it would be told now."""
        return timeline_of(self.training_id, self.events())

    def _job(self) -> dict[str, Any]:
        facts: dict[str, Any] = self.requested.job_facts() | {"run": self.run}  # type: ignore[attr-defined]
        return facts

    def _attempt(self, stage: Stage, number: int, elapsed_s: float, replay: int | None = None) -> StageAttempt:
        return ToldAttempt(stage, SERVICES[stage], self.cause, number, elapsed_s=elapsed_s, replay=replay)
