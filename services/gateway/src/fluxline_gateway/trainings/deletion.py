"""How a training ends to exist: its rows go, and an event tells every stage to remove what it keeps of it."""

from uuid import UUID

import asyncpg

from fluxline.contracts.events import TrainingCancelRequested, TrainingDeleteRequested
from fluxline.postgres.outbox import enqueue
from fluxline.postgres.pool import Connection
from fluxline_gateway.trainings.spending import release
from fluxline_gateway.trainings.state import TrainingState

_LOCK_MODEL = "SELECT id FROM models WHERE training_id = $1 FOR UPDATE"
_GENERATIONS = "DELETE FROM generations WHERE model_id = ANY($1::uuid[]) RETURNING id"
_REST = (
    "DELETE FROM sample_batches WHERE model_id IN (SELECT id FROM models WHERE training_id = $1)",
    "DELETE FROM models WHERE training_id = $1",
    "DELETE FROM training_events WHERE training_id = $1",
    "DELETE FROM trainings WHERE id = $1",
)


async def remove(connection: Connection, row: asyncpg.Record, state: TrainingState, *, keep_repository: bool) -> None:
    """Remove an ended training whose `row` the running transaction has locked, and everything that hangs on it.

    The model's lock makes new generations wait for this, and then find no model.
    """
    training_id: UUID = row["id"]
    models = [model["id"] for model in await connection.fetch(_LOCK_MODEL, training_id)]
    generations = [generation["id"] for generation in await connection.fetch(_GENERATIONS, models)]
    await release(connection, generations)
    for statement in _REST:
        await connection.execute(statement, training_id)
    if state.status == "failed":  # or the replay of a dead letter could bring it back to life, and cost money
        await enqueue(connection, "gateway", stop(training_id, state.run, "deleted"))
    hub = state.published.huggingface if state.published and not keep_repository else None
    facts = {"owner": row["owner"], "huggingface": hub, "generation_ids": sorted(generations)}
    await enqueue(
        connection, "gateway", TrainingDeleteRequested.first(str(training_id), training_id=training_id, **facts)
    )


def stop(training_id: UUID, run: int, reason: str) -> TrainingCancelRequested:
    """The wish that a run stops: one event, however often and for whatever reasons it is wished."""
    return TrainingCancelRequested.first(f"{training_id}/{run}", training_id=training_id, run=run, reason=reason)
