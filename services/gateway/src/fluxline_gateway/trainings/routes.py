"""`/v1/trainings`: ask for a training, read one, list them. Reads show stored state and have no effects."""

import json
from functools import partial
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
from fluxline_gateway.errors import NotFound, problems
from fluxline_gateway.idempotency import Created, IdempotencyKey, create_once
from fluxline_gateway.pages import DEFAULT_LIMIT, Cursor, Limit, Page, decode_cursor, page_of, row_position
from fluxline_gateway.trainings.chosen_images import image_refs
from fluxline_gateway.trainings.estimates import estimate
from fluxline_gateway.trainings.requests import TrainingIn
from fluxline_gateway.trainings.spending import Reservation, reserve
from fluxline_gateway.trainings.state import Status, TrainingState
from fluxline_gateway.trainings.views import TrainingOut, training_out
from fluxline_gateway.webhooks.urls import require_sendable

router = APIRouter(prefix="/v1/trainings", tags=["trainings"])

NO_NUL = r"^[^\x00]*$"
"""PostgreSQL's text holds every character but this."""
_ADD = """
INSERT INTO trainings (id, owner, name, status, request, image_ids, state, trace_id, estimate)
VALUES ($1, $2, $3, 'requested', $4, $5, $6, $7, $8) RETURNING *
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


@router.post(
    "",
    status_code=202,
    operation_id="create_training",
    response_model=TrainingOut,
    responses=problems(
        _402="It would exceed the spend cap",
        _422="A field does not fit, an image is not the owner's, or the licence is not accepted",
        _429="As many trainings run as may at once, or too many requests were sent",
    ),
)
async def create_training(
    request: Request, body: TrainingIn, gateway: Deps, owner: Owner, idempotency_key: IdempotencyKey = None
) -> Response:
    """Ask for a training. It is certain once this is answered: row and event are stored together.

    Its likely cost (`estimate.cost_usd.likely`) is reserved until the real one is known, and counts against the cap.
    To publish, `publish.accept_license` must be true: nothing is trained, nor paid, for a licence that is still open.
    """
    if body.webhook_url:
        require_sendable(str(body.webhook_url), gateway.settings.webhook_origins, "webhook_url")
    make = partial(_request_training, gateway, owner.owner, body)
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
    return page_of(request, response, rows, limit, training_out, row_position)


@router.get("/{training_id:uuid}", operation_id="get_training")
async def get_training(training_id: UUID, gateway: Deps, owner: Owner) -> TrainingOut:
    """One training, as its events have told so far."""
    return training_out(await find_training(gateway, owner.owner, training_id))


async def find_training(gateway: Gateway, owner: str, training_id: UUID) -> asyncpg.Record:
    """The owner's row; raises `NotFound`, whether it is nobody's, somebody else's, or being deleted."""
    row = await gateway.database.pool.fetchrow(_FIND, owner, training_id)
    if row is None:
        raise NotFound("Training")
    return row


async def _request_training(gateway: Gateway, owner: str, body: TrainingIn, connection: Connection) -> Created:
    training_id, images = uuid4(), await image_refs(connection, owner, body)
    price = gateway.settings.training_usd_per_second
    expected = estimate(body.plan(), await gateway.track_record.lessons(connection, price), price)
    stored = body.model_dump(mode="json", exclude={"image_ids", "name"}) | {"captions": [i.caption for i in images]}
    columns = (json.dumps(stored), body.image_ids, TrainingState().model_dump_json(), current_trace_id())
    [row] = await connection.fetch(_ADD, training_id, owner, body.name, *columns, expected.model_dump_json())
    await enqueue(connection, "gateway", _event(training_id, owner, body, images))
    reservation = Reservation(training_id, owner, "training", expected.cost_usd.likely, price)
    await reserve(connection, reservation, gateway.settings)
    return Created(f"/v1/trainings/{training_id}", training_out(row).model_dump_json())


def _event(training_id: UUID, owner: str, body: TrainingIn, images: list[ImageRef]) -> TrainingRequested:
    return TrainingRequested.first(
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
