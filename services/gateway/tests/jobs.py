"""What the tests of trainings share: uploaded images, orders, and the events of a whole job."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import Any, TypeAlias
from uuid import uuid4

import httpx

from fluxline.contracts import events as e
from fluxline.contracts.errors import Stage
from fluxline.contracts.event import Event
from fluxline.contracts.ids import model_id_of
from fluxline.postgres.pool import Database
from fluxline.runtime.envelope import Received, body_of, headers_of
from fluxline.runtime.stages import StageAttempt

ClientOf: TypeAlias = Callable[[str], AbstractAsyncContextManager[httpx.AsyncClient]]
"""Makes a client with an owner's API key."""
_IMAGE = """
INSERT INTO images (owner, sha256, storage_key, filename, format, width, height, size_bytes, warnings)
VALUES ($1, $2, $3, 'a.jpg', 'jpeg', 800, 800, 1000, '{}') RETURNING id
"""


async def order_of(database: Database, owner: str = "ada", **facts: Any) -> dict[str, Any]:
    """The body of POST /v1/trainings, with five images that `owner` has uploaded."""
    ids = []
    for _ in range(5):
        sha256 = uuid4().hex * 2
        ids.append(str(await database.pool.fetchval(_IMAGE, owner, sha256, f"uploads/{owner}/{sha256}.jpg")))
    publish = {"enabled": True, "accept_license": True}
    return {"name": "Ada", "trigger_word": "ADATOK", "image_ids": ids, "publish": publish} | facts


def received(sequence: int, event: Event) -> Received:
    """The event as the stream delivers it."""
    return Received(event.subject, body_of(event), headers_of(event, "test"), sequence, 1, datetime.now(UTC))


def progressed(cause: Event, done: int, total: int = 100) -> e.ZipProgressed:
    """One step of the archive."""
    facts = {"done": done, "total": total, "current": "image_001.jpg", "size_bytes": done}
    return e.ZipProgressed.caused_by(cause, discriminator=str(done), **facts)


def job_after(cause: e.TrainingRequested) -> list[Event]:
    """What follows a request when all goes well, up to the published model and the end of its stage."""
    job, sha256 = cause.job_facts(), "0" * 64
    zipped = e.ZipCreated.caused_by(cause, **job, zip_key="z.zip", size_bytes=1, sha256=sha256, image_count=5)
    weights = {"weights_key": "w.tar", "sha256": sha256, "size_bytes": 1, "provider": "replicate"}
    weights["provider_version"] = "ada/x:1"
    trained = e.TrainingSucceeded.caused_by(zipped, **job, **weights, external_id="r1")
    model_id = model_id_of(cause.training_id)
    published = e.ModelPublished.caused_by(trained, **job, **weights, model_id=model_id)
    zipping, training, publishing = (
        StageAttempt(stage, "test", of, 1)
        for stage, of in (
            (Stage.ZIP_CREATION, cause),
            (Stage.REPLICATE_TRAINING, zipped),
            (Stage.HUGGINGFACE_UPLOAD, trained),
        )
    )
    return [
        *(zipping.started(), progressed(cause, 50), zipped, zipping.succeeded()),
        *(training.started(), e.TrainingProgressed.caused_by(zipped, percent=50), trained, training.succeeded()),
        *(publishing.started(), published, publishing.succeeded()),
    ]
