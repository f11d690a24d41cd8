"""A database and a storage in which everything that the examples of the OpenAPI document speak of exists."""

import dataclasses
import json
from hashlib import sha256
from typing import Any, Final
from uuid import NAMESPACE_OID, UUID, uuid5

import httpx
from fastapi import FastAPI

from fluxline.contracts import events as e
from fluxline.contracts.errors import ErrorCategory, Stage
from fluxline.contracts.event import Event
from fluxline.contracts.ids import model_id_of
from fluxline.contracts.job import HubPublication
from fluxline_gateway import examples
from fluxline_gateway.deps import Gateway
from fluxline_gateway.identity import keys
from fluxline_gateway.trainings.projection import Projection
from photos import jpeg_bytes, scene

from .conftest import URL
from .documented import named
from .jobs import job_after, received

HOOK: Final = "https://hooks.example.com/fluxline"
"""A public address that nobody answers at."""
_IMAGE = """
INSERT INTO images (id, owner, sha256, storage_key, filename, format, width, height, size_bytes, warnings)
VALUES ($1, $2, $3, $4, 'ada.jpg', 'jpeg', 600, 600, $5, '{}')
"""
_NAME_IT = ("UPDATE trainings SET id = $1 WHERE id = $2", "UPDATE spending SET id = $1 WHERE id = $2")
_OLD = """
UPDATE trainings SET created_at = now() - interval '2 hours', updated_at = now() - interval '1 hour' WHERE id = $1
"""
_GENERATION = """
INSERT INTO generations (id, owner, model_id, status, parameters, outcome) VALUES ($1, $2, $3, $6, $4, $5)
"""
_UPLOAD = "INSERT INTO image_uploads (id, owner, expires_at) VALUES ($1, $2, now() + interval '1 day')"
_UPLOAD_FILE = """
INSERT INTO image_upload_files (upload_id, number, filename, size_bytes, storage_key) VALUES ($1, 1, 'ada.jpg', $2, $3)
"""
_DELIVERY = """
INSERT INTO webhook_deliveries (id, owner, training_id, url, type, payload, status)
VALUES ($1, $2, $3, $4, 'training.completed', '{}', 'delivered')
"""
_KEY = "INSERT INTO api_keys (id, owner, key_sha256) VALUES ($1, $2, $3)"
_SCOPES = "UPDATE api_keys SET scopes = $2 WHERE id = $1"


@dataclasses.dataclass(frozen=True)
class Names:
    """What the things of a world are called; two worlds with other names fit into one database."""

    training_id: str = examples.TRAINING_ID
    model_id: str = examples.MODEL_ID
    generation_id: str = examples.GENERATION_ID
    upload_id: str = examples.UPLOAD_ID
    delivery_id: str = examples.DELIVERY_ID
    key_id: str = examples.KEY_ID
    image_ids: tuple[str, ...] = examples.IMAGE_IDS
    sha256s: tuple[str, ...] = (examples.SHA256, *(f"{n:064x}" for n in range(4)))
    sequence: int = examples.SEQUENCE
    """Of the training's first event in the stream."""

    @property
    def images(self) -> list[tuple[str, str]]:
        """The key in the storage and the SHA-256 of each image."""
        return [(f"uploads/{examples.OWNER}/{hexed}.jpg", hexed) for hexed in self.sha256s]


EXAMPLES: Final = Names()


def other_names(number: int) -> Names:
    """The names of one more world, the same for the same number."""
    ids = {
        field.name: str(uuid5(NAMESPACE_OID, f"{field.name} {number}"))
        for field in dataclasses.fields(Names)
        if field.name.endswith("_id")
    }
    images = [f"image {number}.{n}" for n in range(len(examples.IMAGE_IDS))]
    return Names(
        **ids,
        image_ids=tuple(str(uuid5(NAMESPACE_OID, image)) for image in images),
        sha256s=tuple(sha256(image.encode()).hexdigest() for image in images),
        sequence=1,
    )


async def make_world(
    app: FastAPI, *, training: str = "completed", generation: str = "succeeded", names: Names = EXAMPLES
) -> list[Event]:
    """Store what the names name, all of it Ada's; `training` and `generation` are the statuses that those have.

    Returns the training's events: they are applied already, and not in the stream.
    """
    gateway, owner = app.state.gateway, examples.OWNER
    pool = gateway.database.pool
    photo = jpeg_bytes(scene((600, 600), 1))
    for image_id, (key, hexed) in zip(names.image_ids, names.images, strict=True):
        await pool.execute(_IMAGE, UUID(image_id), owner, hexed, key, len(photo))
        await gateway.storage.put(key, photo, content_type="image/jpeg")
    events = await _make_training(app, training, names)
    if training == "completed":
        await _make_generation(gateway, owner, names, generation)
    await _make_upload(gateway, owner, photo, names)
    await pool.execute(_DELIVERY, UUID(names.delivery_id), owner, UUID(names.training_id), HOOK)
    await pool.execute(_KEY, UUID(names.key_id), owner, UUID(names.key_id).bytes * 2)
    return events


async def key_of(gateway: Gateway, owner: str, *scopes: str) -> str:
    """A new API key."""
    key, key_id = await keys.create(gateway.database.pool, owner)
    await gateway.database.pool.execute(_SCOPES, key_id, list(scopes))
    return key


async def _make_training(app: FastAPI, status: str, names: Names) -> list[Event]:
    """Ask for it as the example does, give it its id, and let its story happen."""
    gateway, owner, training_id = app.state.gateway, examples.OWNER, UUID(names.training_id)
    call = named("create_training")
    headers = {"Authorization": f"Bearer {await key_of(gateway, owner, 'read', 'write')}"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=URL, headers=headers) as client:
        example = next(call.sent())
        ids = list(names.image_ids)
        body = example.body | {"image_ids": ids, "captions": {ids[0]: "a portrait of ADATOK"}, "webhook_url": HOOK}
        answer = await call.send(client, dataclasses.replace(example, headers={}, body=body))
        asked = UUID(answer.raise_for_status().json()["id"])
    for statement in _NAME_IT:
        await gateway.database.pool.execute(statement, training_id, asked)
    requested = e.TrainingRequested.first(
        f"example {training_id}",
        training_id=training_id,
        name="Ada",
        trigger_word="ADATOK",
        owner=owner,
        images=[{"key": key, "sha256": hexed} for key, hexed in names.images],
    )
    events = [requested, *history(status, requested, UUID(names.model_id))]
    sequenced = [received(number, event) for number, event in enumerate(events, names.sequence)]
    await Projection(gateway.database).handle(sequenced)
    await gateway.storage.put(_weights_key(requested), b"weights", content_type="application/octet-stream")
    await gateway.database.pool.execute(_OLD, training_id)
    return events


def history(status: str, cause: e.TrainingRequested, model_id: UUID | None = None) -> list[Event]:
    """What follows a request until the training has that status; its model is stored at a key of its own."""
    match status:
        case "completed":
            facts: dict[str, Any] = {
                "model_id": model_id or model_id_of(cause.training_id),
                "weights_key": _weights_key(cause),
            }
            facts["huggingface"] = HubPublication.model_validate(examples.HUB)
            events = job_after(cause)
            return [
                event.model_copy(update=facts) if isinstance(event, e.ModelPublished) else event for event in events
            ]
        case "failed":
            facts = {"stage": Stage.ZIP_CREATION, "category": ErrorCategory.NETWORK, "retryable": True, "attempts": 5}
            return [e.TrainingFailed.caused_by(cause, message="No answer.", hint="Try again.", **facts)]
    return []


def _weights_key(cause: e.TrainingRequested) -> str:
    return f"models/{cause.training_id}/lora.safetensors"


async def _make_generation(gateway: Gateway, owner: str, names: Names, status: str) -> None:
    key = f"generations/{names.generation_id}/0.webp"
    outcome = {"prompt_used": "ADATOK in the rain", "image_keys": [key]}
    await gateway.storage.put(key, b"a picture", content_type="image/webp")
    ids = (UUID(names.generation_id), owner, UUID(names.model_id))
    await gateway.database.pool.execute(
        _GENERATION, *ids, json.dumps({"prompt": "ADATOK in the rain"}), json.dumps(outcome), status
    )


async def _make_upload(gateway: Gateway, owner: str, photo: bytes, names: Names) -> None:
    key = f"incoming/{owner}/{names.upload_id}/1"
    await gateway.storage.put(key, photo, content_type="image/jpeg")
    await gateway.database.pool.execute(_UPLOAD, UUID(names.upload_id), owner)
    await gateway.database.pool.execute(_UPLOAD_FILE, UUID(names.upload_id), len(photo), key)
