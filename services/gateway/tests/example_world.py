"""A database and a storage in which everything that the examples of the OpenAPI document speak of exists."""

import dataclasses
import json
from collections.abc import Callable, Mapping
from uuid import UUID

import httpx
from fastapi import FastAPI

from fluxline.contracts import events as e
from fluxline.contracts.errors import ErrorCategory, Stage
from fluxline.contracts.event import Event
from fluxline_gateway import examples
from fluxline_gateway.deps import Gateway
from fluxline_gateway.identity import keys
from fluxline_gateway.trainings.projection import Projection
from photos import jpeg_bytes, scene

from .conftest import URL
from .documented import named
from .jobs import job_after, received

_IMAGES = [
    (f"uploads/{examples.OWNER}/{sha256}.jpg", sha256) for sha256 in (examples.SHA256, *(f"{n:064x}" for n in range(4)))
]
_IMAGE = """
INSERT INTO images (id, owner, sha256, storage_key, filename, format, width, height, size_bytes, warnings)
VALUES ($1, $2, $3, $4, 'ada.jpg', 'jpeg', 600, 600, $5, '{}')
"""
_NAME_IT = ("UPDATE trainings SET id = $1", "UPDATE spending SET id = $1")
_OLD = "UPDATE trainings SET created_at = now() - interval '2 hours', updated_at = now() - interval '1 hour'"
_GENERATION = """
INSERT INTO generations (id, owner, model_id, status, parameters, outcome) VALUES ($1, $2, $3, 'succeeded', $4, $5)
"""
_UPLOAD = "INSERT INTO image_uploads (id, owner, expires_at) VALUES ($1, $2, now() + interval '1 day')"
_UPLOAD_FILE = """
INSERT INTO image_upload_files (upload_id, number, filename, size_bytes, storage_key) VALUES ($1, 1, 'ada.jpg', $2, $3)
"""
_DELIVERY = """
INSERT INTO webhook_deliveries (id, owner, training_id, url, type, payload, status)
VALUES ($1, $2, $3, 'https://hooks.example.com/fluxline', 'training.completed', '{}', 'delivered')
"""
_KEY = "INSERT INTO api_keys (id, owner, key_sha256) VALUES ($1, $2, $3)"
_SCOPES = "UPDATE api_keys SET scopes = $2 WHERE id = $1"


async def make_world(app: FastAPI, *, training: str = "completed") -> None:
    """Store what the examples' ids name, all of it Ada's; `training` is the status that the training has."""
    gateway, owner = app.state.gateway, examples.OWNER
    pool = gateway.database.pool
    photo = jpeg_bytes(scene((600, 600), 1))
    for image_id, (key, sha256) in zip(examples.IMAGE_IDS, _IMAGES, strict=True):
        await pool.execute(_IMAGE, UUID(image_id), owner, sha256, key, len(photo))
        await gateway.storage.put(key, photo, content_type="image/jpeg")
    await _make_training(app, training)
    if training == "completed":
        await _make_generation(gateway, owner)
    await _make_upload(gateway, owner, photo)
    await pool.execute(_DELIVERY, UUID(examples.DELIVERY_ID), owner, UUID(examples.TRAINING_ID))
    await pool.execute(_KEY, UUID(examples.KEY_ID), owner, b"\0" * 32)


async def key_of(gateway: Gateway, owner: str, *scopes: str) -> str:
    """A new API key."""
    key, key_id = await keys.create(gateway.database.pool, owner)
    await gateway.database.pool.execute(_SCOPES, key_id, list(scopes))
    return key


async def _make_training(app: FastAPI, status: str) -> None:
    """Ask for it as the example does, give it the example's id, and let its story happen."""
    gateway, owner, training_id = app.state.gateway, examples.OWNER, UUID(examples.TRAINING_ID)
    call = named("create_training")
    headers = {"Authorization": f"Bearer {await key_of(gateway, owner, 'read', 'write')}"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=URL, headers=headers) as client:
        sent = dataclasses.replace(next(call.sent()), headers={})
        (await call.send(client, sent)).raise_for_status()
    for statement in _NAME_IT:
        await gateway.database.pool.execute(statement, training_id)
    requested = e.TrainingRequested.first(
        "example",
        training_id=training_id,
        name="Ada",
        trigger_word="ADATOK",
        owner=owner,
        images=[{"key": key, "sha256": sha256} for key, sha256 in _IMAGES],
    )
    events = [requested, *_HISTORIES[status](requested)]
    sequences = range(examples.SEQUENCE, examples.SEQUENCE + len(events))
    await Projection(gateway.database).handle([received(n, event) for n, event in zip(sequences, events, strict=True)])
    await gateway.database.pool.execute(_OLD)


def _completed(cause: e.TrainingRequested) -> list[Event]:
    model_id = UUID(examples.MODEL_ID)
    return [
        event.model_copy(update={"model_id": model_id}) if isinstance(event, e.ModelPublished) else event
        for event in job_after(cause)
    ]


def _failed(cause: e.TrainingRequested) -> list[Event]:
    facts = {"stage": Stage.ZIP_CREATION, "category": ErrorCategory.NETWORK, "retryable": True, "attempts": 5}
    return [e.TrainingFailed.caused_by(cause, message="No answer.", hint="Try again.", **facts)]


_HISTORIES: Mapping[str, Callable[[e.TrainingRequested], list[Event]]] = {
    "requested": lambda _: [],
    "failed": _failed,
    "completed": _completed,
}


async def _make_generation(gateway: Gateway, owner: str) -> None:
    key = f"generations/{examples.GENERATION_ID}/0.webp"
    outcome = {"prompt_used": "ADATOK in the rain", "image_keys": [key]}
    ids = (UUID(examples.GENERATION_ID), owner, UUID(examples.MODEL_ID))
    await gateway.database.pool.execute(
        _GENERATION, *ids, json.dumps({"prompt": "ADATOK in the rain"}), json.dumps(outcome)
    )


async def _make_upload(gateway: Gateway, owner: str, photo: bytes) -> None:
    key = f"incoming/{owner}/{examples.UPLOAD_ID}/1"
    await gateway.storage.put(key, photo, content_type="image/jpeg")
    await gateway.database.pool.execute(_UPLOAD, UUID(examples.UPLOAD_ID), owner)
    await gateway.database.pool.execute(_UPLOAD_FILE, UUID(examples.UPLOAD_ID), len(photo), key)
