"""Cancel, retry, delete: each a wish that is stored with its event, in one transaction, and certain once answered.

The row's lock puts them in an order with each other and with the projection; what they write into the state is what
the projection writes when the event comes back.
"""

from functools import partial
from typing import Annotated
from uuid import UUID

import asyncpg
from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel

from fluxline.contracts.errors import ErrorCategory, Stage
from fluxline.postgres.outbox import enqueue
from fluxline.postgres.pool import Connection
from fluxline_gateway.deps import Deps, Gateway, Owner
from fluxline_gateway.errors import ApiError, problems
from fluxline_gateway.idempotency import Created, IdempotencyKey, create_once
from fluxline_gateway.trainings.deletion import remove, stop
from fluxline_gateway.trainings.fold import canceling, retried
from fluxline_gateway.trainings.retries import retry_requested
from fluxline_gateway.trainings.rows import lock, save
from fluxline_gateway.trainings.spending import Reservation, reserve
from fluxline_gateway.trainings.state import TERMINAL, Status, TrainingState
from fluxline_gateway.trainings.views import TrainingOut, likely_usd, training_out

router = APIRouter(prefix="/v1/trainings/{training_id:uuid}", tags=["trainings"])

_MARK = "UPDATE trainings SET deleting = true, keep_repository = keep_repository OR $2 WHERE id = $1"
_NOT_CANCELED: dict[Status, str] = {
    "completed": "It has completed before it could be canceled; DELETE it if you do not want what it made.",
    "failed": "It has stopped by itself: retry or delete it.",
}
_NOT_RETRIED: dict[Status, str] = {
    "completed": "It has everything it was asked for; make a new training for another model.",
    "canceled": "A canceled training stays canceled; make a new one with POST /v1/trainings.",
    "canceling": "It is being canceled; make a new one with POST /v1/trainings.",
}
_STILL_RUNNING = "It has not failed: what can be tried again is tried again by itself. Cancel it to stop it."


class Action(BaseModel):
    """A request that says everything by its path."""


@router.post(
    "/cancel",
    status_code=202,
    operation_id="cancel_training",
    response_model=TrainingOut,
    responses=problems(_404="There is no such training", _409="It has completed or failed"),
)
async def cancel_training(
    request: Request, training_id: UUID, gateway: Deps, owner: Owner, idempotency_key: IdempotencyKey = None
) -> Response:
    """Stop a training: `canceling` until the stage in charge has stopped, then `canceled`. Repeats change nothing."""
    make = partial(_cancel, owner.owner, training_id)
    return await create_once(gateway.database, owner.owner, idempotency_key, request, Action(), make)


@router.post(
    "/retry",
    status_code=202,
    operation_id="retry_training",
    response_model=TrainingOut,
    responses=problems(
        _402="It would exceed the spend cap",
        _404="There is no such training",
        _409="It has not failed, or needs images that were deleted",
        _429="As many trainings run as may at once, or too many requests were sent",
    ),
)
async def retry_training(
    request: Request, training_id: UUID, gateway: Deps, owner: Owner, idempotency_key: IdempotencyKey = None
) -> Response:
    """Go on with a failed training, at the stage that failed and with what it has. A repeat is the same retry.

    It publishes as was asked for at first, under the licence accepted then. One that trains again reserves its likely
    cost again; one that has only to publish costs nothing.
    """
    make = partial(_retry, gateway, owner.owner, training_id)
    return await create_once(gateway.database, owner.owner, idempotency_key, request, Action(), make)


@router.delete(
    "",
    status_code=204,
    operation_id="delete_training",
    response_class=Response,
    responses={
        202: {"description": "It still runs: it is canceled first, and is gone for every reader already"},
        **problems(_404="There is no such training"),
    },
)
async def delete_training(
    training_id: UUID,
    gateway: Deps,
    owner: Owner,
    keep_repository: Annotated[bool, Query(description="leave the model's repository on Hugging Face")] = False,
) -> Response:
    """Delete a training with its model, its generations, its files and its repository; one that runs is stopped."""
    async with gateway.database.transaction() as connection:
        row, state = await lock(connection, owner.owner, training_id, even_deleting=True)
        if state.status in TERMINAL:
            await remove(connection, row, state, keep_repository=keep_repository)
            return Response(status_code=204)
        await connection.execute(_MARK, training_id, keep_repository)
        await _stop(connection, row, state, "deleted")
        return Response(status_code=202)


async def _cancel(owner: str, training_id: UUID, connection: Connection) -> Created:
    row, state = await lock(connection, owner, training_id)
    if hint := _NOT_CANCELED.get(state.status):
        raise _conflict("Training not canceled", state, hint)
    if state.status == "canceled":
        return _created(row)
    return _created(await _stop(connection, row, state, "owner"))


async def _stop(connection: Connection, row: asyncpg.Record, state: TrainingState, reason: str) -> asyncpg.Record:
    """The row once its run is wanted stopped; as it was when that is so already."""
    if state.cancel_run >= state.run:
        return row
    await enqueue(connection, "gateway", stop(row["id"], state.run, reason))
    return await save(connection, row["id"], canceling(state, state.run))


async def _retry(gateway: Gateway, owner: str, training_id: UUID, connection: Connection) -> Created:
    row, state = await lock(connection, owner, training_id)
    if hint := _NOT_RETRIED.get(state.status):
        raise _conflict("Training not retried", state, hint)
    if state.error is None:
        if state.run == 0:
            raise _conflict("Training not retried", state, _STILL_RUNNING)
        return _created(row)
    event = await retry_requested(connection, row, state.run + 1, state.error)
    await enqueue(connection, "gateway", event)
    row = await save(connection, training_id, retried(state, event.run, event.from_stage))
    usd = 0.0 if event.from_stage is Stage.HUGGINGFACE_UPLOAD else likely_usd(row)
    price = gateway.settings.training_usd_per_second
    reservation = Reservation(training_id, owner, "training", usd, price, event.run)
    await reserve(connection, reservation, gateway.settings)
    return _created(row)


def _created(row: asyncpg.Record) -> Created:
    return Created(f"/v1/trainings/{row['id']}", training_out(row).model_dump_json())


def _conflict(title: str, state: TrainingState, hint: str) -> ApiError:
    detail = f"The training is {state.status}."
    return ApiError(409, title, category=ErrorCategory.VALIDATION, hint=hint, detail=detail)
