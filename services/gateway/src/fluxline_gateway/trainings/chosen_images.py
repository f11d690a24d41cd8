"""The images of a training to be: that they are their owner's, and how an event names them."""

from collections.abc import Sequence
from uuid import UUID

import asyncpg

from fluxline.contracts.job import ImageRef
from fluxline.postgres.pool import Connection
from fluxline_gateway.errors import FieldError, InvalidFields
from fluxline_gateway.identity.keys import Executor
from fluxline_gateway.trainings.requests import TrainingIn

_FIND = "SELECT id, storage_key, sha256, caption FROM images WHERE owner = $1 AND id = ANY($2::uuid[])"


async def image_refs(connection: Connection, owner: str, body: TrainingIn) -> list[ImageRef]:
    """The images, safe from deletion until the transaction ends; a caption that `body` lacks is the image's own.

    Raises `InvalidFields` for ids that are not the owner's.
    """
    rows = _all_found(await connection.fetch(_FIND + " FOR SHARE", owner, body.image_ids), body.image_ids)
    captions = {image_id: row["caption"] for image_id, row in rows.items()} | body.captions
    return [
        ImageRef(key=rows[i]["storage_key"], sha256=rows[i]["sha256"], caption=captions[i] or None)
        for i in body.image_ids
    ]


async def require_images(executor: Executor, owner: str, image_ids: Sequence[UUID]) -> None:
    """Raises `InvalidFields` for ids that are not the owner's."""
    _all_found(await executor.fetch(_FIND, owner, image_ids), image_ids)


def _all_found(rows: Sequence[asyncpg.Record], image_ids: Sequence[UUID]) -> dict[UUID, asyncpg.Record]:
    """The rows by id; somebody else's image looks like none at all."""
    found = {row["id"]: row for row in rows}
    missing = [
        FieldError(field=f"image_ids.{place}", message=f"{image_id} is not one of your images")
        for place, image_id in enumerate(image_ids)
        if image_id not in found
    ]
    if missing:
        raise InvalidFields(*missing, hint="Upload the images with POST /v1/images and use the ids it answers.")
    return found
