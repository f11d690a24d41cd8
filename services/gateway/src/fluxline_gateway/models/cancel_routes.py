"""`POST /v1/generations/{id}/cancel`: a wish that is stored with its event, in one transaction."""

from functools import partial
from typing import Final
from uuid import UUID

import asyncpg
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from fluxline.contracts.errors import ErrorCategory
from fluxline.contracts.events import GenerationCancelRequested
from fluxline.postgres.outbox import enqueue
from fluxline.postgres.pool import Connection
from fluxline_gateway.deps import Deps, Gateway, Owner
from fluxline_gateway.errors import ApiError, NotFound, problems
from fluxline_gateway.idempotency import Created, IdempotencyKey, create_once
from fluxline_gateway.models.generation_views import GenerationOut, generation_out

router = APIRouter(tags=["generations"])

_LOCK = "SELECT * FROM generations WHERE owner = $1 AND id = $2 FOR UPDATE"
_TRAINING = "SELECT training_id FROM models WHERE id = $1"
_MARK = "UPDATE generations SET canceling = true, updated_at = now() WHERE id = $1 RETURNING *"
_NOT_CANCELED: Final = {
    "succeeded": "Its images are made, and paid for.",
    "failed": "It has stopped by itself: ask for the images again.",
}


class Cancelation(BaseModel):
    """A request that says everything by its path."""


@router.post(
    "/v1/generations/{generation_id}/cancel",
    status_code=202,
    operation_id="cancel_generation",
    response_model=GenerationOut,
    responses=problems(_404="There is no such generation", _409="It has succeeded or failed"),
)
async def cancel_generation(
    request: Request, generation_id: UUID, gateway: Deps, owner: Owner, idempotency_key: IdempotencyKey = None
) -> Response:
    """Stop a generation: `canceling` until it has stopped, then `canceled`. Repeats change nothing.

    One that ends at the same moment may still succeed.
    """
    make = partial(_cancel, gateway, owner.owner, generation_id)
    return await create_once(gateway.database, owner.owner, idempotency_key, request, Cancelation(), make)


async def _cancel(gateway: Gateway, owner: str, generation_id: UUID, connection: Connection) -> Created:
    row = await connection.fetchrow(_LOCK, owner, generation_id)
    if row is None:
        raise NotFound("Generation")
    if hint := _NOT_CANCELED.get(row["status"]):
        detail = f"The generation has {row['status']}."
        raise ApiError(409, "Generation not canceled", category=ErrorCategory.VALIDATION, hint=hint, detail=detail)
    if row["status"] != "canceled" and not row["canceling"]:
        row = await _request(connection, row)
    return Created(f"/v1/generations/{generation_id}", generation_out(gateway.storage, row).model_dump_json())


async def _request(connection: Connection, row: asyncpg.Record) -> asyncpg.Record:
    training_id = await connection.fetchval(_TRAINING, row["model_id"]) if row["model_id"] else None
    ids = {"generation_id": row["id"], "training_id": training_id}
    await enqueue(connection, "gateway", GenerationCancelRequested.first(str(row["id"]), **ids))
    [marked] = await connection.fetch(_MARK, row["id"])
    return marked
