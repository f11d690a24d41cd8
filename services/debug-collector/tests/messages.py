"""Messages of the stream as the collector receives them, made by hand."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from fluxline.contracts.errors import ErrorCategory, Stage
from fluxline.contracts.event import Event
from fluxline.contracts.events import (
    ModelPublished,
    StageFailed,
    StageRetried,
    StageStarted,
    StageSucceeded,
    TrainingCanceled,
    TrainingFailed,
    TrainingRetryRequested,
    TrainingStarted,
    TrainingSucceeded,
    ZipCreated,
)
from fluxline.contracts.job import Cost
from fluxline.runtime.envelope import Received, body_of, headers_of
from streams import requested

BEGAN = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
FIRST = 1_700_000_000_000_000
SHA256 = "cd" * 32
WEIGHTS: dict[str, Any] = {"weights_key": "weights/a.tar", "sha256": SHA256, "size_bytes": 1}


def received(events: Iterable[Event], began: datetime = BEGAN, first: int = FIRST) -> list[Received]:
    """The events one second apart, each from the service that tells of it."""
    return [
        Received(
            event.subject,
            body_of(event),
            headers_of(event, getattr(event, "service", "gateway")) | {"traceparent": _trace(event.training_id)},
            first + place,
            1,
            began + timedelta(seconds=place),
        )
        for place, event in enumerate(events)
    ]


def raw(body: bytes, subject: str = "zip.created", place: int = 0, at: datetime = BEGAN, **headers: str) -> Received:
    """A message that may hold anything."""
    return Received(subject, body, headers, FIRST + place, 1, at)


def a_job(training_id: UUID | None = None) -> list[Event]:
    """One that is retried and published, paid twice: 13 events."""
    asked = requested(training_id, images=6)
    stage = {"stage": Stage.REPLICATE_TRAINING, "service": "trainer"}
    trouble = {"duration_ms": 40, "message": "Replicate is away", "category": ErrorCategory.NETWORK}
    zipped = ZipCreated.caused_by(
        asked, **asked.job_facts(), zip_key="z/a.zip", size_bytes=1, sha256=SHA256, image_count=5
    )
    again = TrainingRetryRequested.first(
        f"{asked.training_id}/1",
        training_id=asked.training_id,
        **(asked.job_facts() | {"run": 1}),
        from_stage=stage["stage"],
    )
    return [
        asked,
        zipped,
        StageStarted.caused_by(zipped, discriminator="1", attempt=1, **stage),
        StageRetried.caused_by(zipped, discriminator="1", attempt=1, next_attempt_at=BEGAN, **stage, **trouble),
        *_paid(zipped, "first", 1.5),
        StageFailed.caused_by(zipped, discriminator="2", attempt=2, retryable=False, **stage, **trouble),
        _failed(zipped, 0),
        again,
        *_paid(again, "second", 0.25),
        StageSucceeded.caused_by(
            again, discriminator="1", attempt=1, duration_ms=70, provider_ids={"replicate": "second"}, **stage
        ),
        ModelPublished.caused_by(
            again, **again.job_facts(), **WEIGHTS, model_id=uuid4(), provider="replicate", provider_version="v2"
        ),
    ]


def unlucky_jobs() -> list[Event]:
    """A canceled job, one whose dead letter is replayed, one of images, and events that came twice."""
    canceled, replayed = requested(), requested()
    letter = _failed(replayed, 0)
    stage = {"stage": Stage.ZIP_CREATION, "service": "zipper", "attempt": 1}
    failed = StageFailed.caused_by(
        replayed, duration_ms=3, category=ErrorCategory.FILE_ERROR, retryable=False, message="No image", **stage
    )
    images = {"stage": Stage.IMAGE_GENERATION, "service": "generator", "attempt": 1, "generation_id": uuid4()}
    return [
        canceled,
        replayed,
        _failed(canceled, 0),
        TrainingCanceled.caused_by(canceled, stage=Stage.ZIP_CREATION),
        failed,
        letter,
        failed,
        StageStarted.caused_by(replayed, discriminator="r7", replay=7, **stage),
        StageSucceeded.caused_by(replayed, discriminator="image", duration_ms=9, **images),
        letter,
        StageStarted.caused_by(replayed, discriminator="r8", replay=8, **stage),
    ]


def _paid(cause: Event, run: str, dollars: float) -> Sequence[Event]:
    facts = cause.job_facts()  # type: ignore[attr-defined]  # a JobEvent
    run_facts = {"provider": "replicate", "external_id": run}
    return [
        TrainingStarted.caused_by(cause, **run_facts, destination="ada/model", trainer_version="t1"),
        TrainingSucceeded.caused_by(
            cause,
            **facts,
            **WEIGHTS,
            **run_facts,
            provider_version="v1",
            cost=Cost(amount_usd=dollars, basis="seconds"),
        ),
    ]


def _failed(cause: Event, run: int) -> TrainingFailed:
    return TrainingFailed.caused_by(
        cause,
        stage=Stage.REPLICATE_TRAINING,
        category=ErrorCategory.NETWORK,
        retryable=True,
        message="Replicate is away",
        hint="Try again later",
        attempts=2,
        run=run,
    )


def _trace(training_id: UUID | None) -> str:
    return f"00-{(training_id or uuid4()).hex}-00f067aa0ba902b7-01"
