"""What a retry begins with: the stage that failed, and that stage's input as the history tells it."""

import json
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

import asyncpg

from fluxline.contracts.catalog import EVENTS
from fluxline.contracts.errors import ErrorCategory, Stage
from fluxline.contracts.events import TrainingRequested, TrainingRetryRequested, TrainingSucceeded, ZipCreated
from fluxline.contracts.job import JobEvent
from fluxline.postgres.pool import Connection
from fluxline_gateway.errors import ApiError, FieldError
from fluxline_gateway.trainings.state import PIPELINE, Failure

J = TypeVar("J", bound=JobEvent)
_INPUTS = (TrainingRequested.subject, ZipCreated.subject, TrainingSucceeded.subject)
_HISTORY = """
SELECT event_id, occurred_at, training_id, type, data FROM training_events
WHERE training_id = $1 AND type = ANY($2::text[]) ORDER BY sequence
"""
_IMAGES = "SELECT id, sha256 FROM images WHERE owner = $1 AND sha256 = ANY($2::text[]) FOR SHARE"
_USE_IMAGES = "UPDATE trainings SET image_ids = $2 WHERE id = $1"


@dataclass(frozen=True)
class Inputs:
    """The newest run's input of each stage, as far as there is one."""

    requested: TrainingRequested
    zip_created: ZipCreated | None
    training_succeeded: TrainingSucceeded | None

    def first_possible(self, failure: Failure) -> Stage:
        """Where a retry begins: as late as the failure allows, earlier where an input is missing."""
        places = [PIPELINE.index(stage) for stage in (failure.stage, failure.resume_from) if stage in PIPELINE]
        stage = PIPELINE[min(places, default=len(PIPELINE) - 1)]
        if stage is Stage.HUGGINGFACE_UPLOAD and self.training_succeeded is None:
            stage = Stage.REPLICATE_TRAINING
        if stage is Stage.REPLICATE_TRAINING and self.zip_created is None:
            stage = Stage.ZIP_CREATION
        return stage


async def retry_requested(
    connection: Connection, row: asyncpg.Record, run: int, failure: Failure
) -> TrainingRetryRequested:
    """The event that starts `run` of the training in the locked `row`.

    Raises `ApiError` 409 when the retry needs images that were deleted; those that it needs are safe from then on.
    """
    training_id: UUID = row["id"]
    inputs = await _read_inputs(connection, training_id)
    stage = inputs.first_possible(failure)
    facts = inputs.requested.job_facts() | {"training_id": training_id, "run": run, "from_stage": stage}
    match stage:
        case Stage.HUGGINGFACE_UPLOAD:
            facts["training_succeeded"] = inputs.training_succeeded
        case Stage.REPLICATE_TRAINING:
            facts["zip_created"] = inputs.zip_created
        case _:
            await _claim_images(connection, row, inputs.requested)
            facts["images"] = inputs.requested.images
    return TrainingRetryRequested.first(f"{training_id}/{run}", **facts)


async def _read_inputs(connection: Connection, training_id: UUID) -> Inputs:
    events = [_event_of(row) for row in await connection.fetch(_HISTORY, training_id, list(_INPUTS))]
    requested = _newest(events, TrainingRequested)
    if requested is None:
        raise ApiError(
            409,
            "Training not ready",
            category=ErrorCategory.VALIDATION,
            hint="Its first event has not come back yet: send the request again in a moment.",
            headers={"Retry-After": "1"},
        )
    return Inputs(requested, _newest(events, ZipCreated), _newest(events, TrainingSucceeded))


def _newest(events: list[JobEvent], event_class: type[J]) -> J | None:
    """Of the newest run; the last of them."""
    found = [event for event in events if isinstance(event, event_class)]
    return max(reversed(found), key=lambda event: event.run, default=None)


def _event_of(row: asyncpg.Record) -> JobEvent:
    """The event as it was published: the history keeps what names it apart from the rest."""
    facts = json.loads(row["data"]) | {name: row[name] for name in ("event_id", "occurred_at", "training_id")}
    event = EVENTS[row["type"]].model_validate(facts)
    assert isinstance(event, JobEvent)  # noqa: S101  # only such are asked for
    return event


async def _claim_images(connection: Connection, row: asyncpg.Record, requested: TrainingRequested) -> None:
    """Make sure that the images are there and stay: the same photo uploaded again is as good, under its new id."""
    wanted = [image.sha256 for image in requested.images]
    found = {image["sha256"]: image["id"] for image in await connection.fetch(_IMAGES, row["owner"], wanted)}
    missing = [
        FieldError(field=f"image_ids.{place}", message=f"{image_id} was deleted (SHA-256 {sha256})")
        for place, (image_id, sha256) in enumerate(zip(row["image_ids"], wanted, strict=True))
        if sha256 not in found
    ]
    if missing:
        raise ApiError(
            409,
            "Images missing",
            category=ErrorCategory.FILE_ERROR,
            hint="Upload the same photos again with POST /v1/images, then retry; or make a new training.",
            errors=missing,
        )
    await connection.execute(_USE_IMAGES, row["id"], [found[sha256] for sha256 in wanted])
