"""`/v1/trainings`: ask for a training, read one, list them. Reads show stored state and have no effects."""

import hashlib
import json
from typing import Annotated
from uuid import UUID, uuid4

import asyncpg
from fastapi import APIRouter, Query, Request, Response

from fluxline.contracts.events import TrainingRequested
from fluxline.contracts.job import ImageRef
from fluxline.postgres.outbox import enqueue
from fluxline.postgres.pool import Connection
from fluxline.runtime.telemetry import current_trace_id
from fluxline_gateway.deps import Deps, Gateway, Owner
from fluxline_gateway.errors import FieldError, InvalidFields, NotFound
from fluxline_gateway.idempotency import Created, IdempotencyKey, create_once
from fluxline_gateway.pages import DEFAULT_LIMIT, Cursor, Limit, Page, decode_cursor, encode_cursor, link_next
from fluxline_gateway.state import Status, TrainingState
from fluxline_gateway.streaming import matches
from fluxline_gateway.training_views import TrainingIn, TrainingOut, training_out

router = APIRouter(prefix="/v1/trainings", tags=["trainings"])

NO_NUL = r"^[^\x00]*$"
"""PostgreSQL's text holds every character but this."""
_IMAGES = "SELECT id, storage_key, sha256 FROM images WHERE owner = $1 AND id = ANY($2::uuid[]) FOR SHARE"
_ADD = """
INSERT INTO trainings (id, owner, name, status, request, image_ids, state, trace_id)
VALUES ($1, $2, $3, 'requested', $4, $5, $6, $7) RETURNING *
"""
_FIND = "SELECT * FROM trainings WHERE owner = $1 AND id = $2 AND NOT deleting"
_PAGE = """
SELECT * FROM trainings
WHERE owner = $1 AND NOT deleting
  AND ($2::timestamptz IS NULL OR (created_at, id) < ($2, $3::uuid))
  AND ($4::text IS NULL OR status = $4)
  AND ($5::text IS NULL OR position(lower($5) IN lower(name)) > 0)
ORDER BY created_at DESC, id DESC LIMIT $6
"""


@router.post("", status_code=202, operation_id="create_training", response_model=TrainingOut)
async def create_training(
    request: Request, body: TrainingIn, gateway: Deps, owner: Owner, idempotency_key: IdempotencyKey = None
) -> Response:
    """Ask for a training. It is certain once this is answered: row and event are stored together."""

    async def make(connection: Connection) -> Created:
        row = await _request_training(connection, owner.owner, body)
        return Created(f"/v1/trainings/{row['id']}", training_out(row).model_dump_json())

    return await create_once(gateway.database, owner.owner, idempotency_key, request, body, make)


@router.get("", operation_id="list_trainings")
async def list_trainings(
    request: Request,
    response: Response,
    gateway: Deps,
    owner: Owner,
    status: Status | None = None,
    q: Annotated[str | None, Query(max_length=100, pattern=NO_NUL, description="a part of the name")] = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Page[TrainingOut]:
    """The trainings, newest first."""
    created_at, after = decode_cursor(cursor) or (None, None)
    rows = await gateway.database.pool.fetch(_PAGE, owner.owner, created_at, after, status, q or None, limit + 1)
    last = rows[limit - 1] if len(rows) > limit else None
    page = Page[TrainingOut](
        items=[training_out(row) for row in rows[:limit]],
        next_cursor=encode_cursor((last["created_at"], last["id"])) if last else None,
    )
    link_next(request, response, page.next_cursor)
    return page


@router.get("/{training_id}", operation_id="get_training", response_model=TrainingOut)
async def get_training(request: Request, training_id: UUID, gateway: Deps, owner: Owner) -> Response:
    """One training, as its events have told so far. Answers 304 when its ETag is the caller's."""
    body = training_out(await find_training(gateway, owner.owner, training_id)).model_dump_json().encode()
    etag = hashlib.sha256(body).hexdigest()[:32]
    headers = {"ETag": f'"{etag}"', "Cache-Control": "private, no-cache"}
    if matches(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type="application/json")


async def find_training(gateway: Gateway, owner: str, training_id: UUID) -> asyncpg.Record:
    """The owner's row; raises `NotFound`, whether it is nobody's, somebody else's, or being deleted."""
    row = await gateway.database.pool.fetchrow(_FIND, owner, training_id)
    if row is None:
        raise NotFound("Training")
    return row


async def _request_training(connection: Connection, owner: str, body: TrainingIn) -> asyncpg.Record:
    training_id, images = uuid4(), await _image_refs(connection, owner, body)
    event = TrainingRequested.first(
        str(training_id),
        training_id=training_id,
        name=body.name,
        trigger_word=body.trigger_word,
        owner=owner,
        base_model=body.base_model,
        parameters=body.parameters(),
        publish=body.publish.model_dump(),
        images=images,
    )
    stored = body.model_dump(mode="json", exclude={"image_ids", "captions", "name"})
    columns = (json.dumps(stored), body.image_ids, TrainingState().model_dump_json(), current_trace_id())
    [row] = await connection.fetch(_ADD, training_id, owner, body.name, *columns)
    await enqueue(connection, "gateway", event)
    return row


async def _image_refs(connection: Connection, owner: str, body: TrainingIn) -> list[ImageRef]:
    rows = {row["id"]: row for row in await connection.fetch(_IMAGES, owner, body.image_ids)}
    missing = [
        FieldError(field=f"image_ids.{place}", message=f"{image_id} is not one of your images")
        for place, image_id in enumerate(body.image_ids)
        if image_id not in rows
    ]
    if missing:
        raise InvalidFields(*missing, hint="Upload the images with POST /v1/images and use the ids it answers.")
    return [
        ImageRef(key=rows[i]["storage_key"], sha256=rows[i]["sha256"], caption=body.captions.get(i) or None)
        for i in body.image_ids
    ]
