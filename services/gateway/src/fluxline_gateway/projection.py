"""The projection: events onto rows, in one transaction a batch. The only writer of a training's state."""

import json
from collections import defaultdict
from collections.abc import Iterable
from uuid import UUID

from fluxline.contracts import events as e
from fluxline.contracts.event import Event
from fluxline.postgres.pool import Connection, Database
from fluxline.runtime.envelope import Received, read_event
from fluxline.runtime.errors import Unreadable
from fluxline.runtime.logs import get_logger
from fluxline_gateway.history import event_out
from fluxline_gateway.state import TrainingState, apply

_LOCK = "SELECT id, state FROM trainings WHERE id = ANY($1::uuid[]) ORDER BY id FOR UPDATE"
_SAVE = "UPDATE trainings SET state = $2, status = $3, updated_at = now() WHERE id = $1"
_APPEND = """
INSERT INTO training_events
    (event_id, training_id, sequence, type, occurred_at, stage, category, attempt, duration_ms, data)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (event_id) DO NOTHING
"""
_ADD_MODEL = """
INSERT INTO models (id, training_id, owner, name, trigger_word, base_model, weights_key, sha256, size_bytes,
    provider, provider_version, huggingface, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) ON CONFLICT DO NOTHING
"""
_SAVE_GENERATION = """
UPDATE generations SET status = $2, outcome = $3, sequence = $4, updated_at = now()
WHERE id = $1 AND sequence < $4 AND status NOT IN ('succeeded', 'failed', 'canceled')
"""

Sequenced = tuple[int, Event]
log = get_logger(__name__)


class Projection:
    """Applies the stream to the gateway's tables."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def handle(self, batch: list[Received]) -> None:
        """Apply a batch, all or nothing. What cannot be read is left to the collector, which keeps it."""
        known = sorted(_readable(batch), key=lambda pair: pair[0])
        async with self.database.transaction() as connection:
            await self._project_trainings(connection, known)
            for sequence, event in known:
                await _append(connection, sequence, event)
                if isinstance(event, e.ModelPublished):
                    await _add_model(connection, event)
                await _project_generation(connection, sequence, event)

    async def _project_trainings(self, connection: Connection, known: Iterable[Sequenced]) -> None:
        by_training: dict[UUID, list[Sequenced]] = defaultdict(list)
        for sequence, event in known:
            if event.training_id is not None and not _of_generation(event):
                by_training[event.training_id].append((sequence, event))
        for row in await connection.fetch(_LOCK, sorted(by_training)):
            state = TrainingState.model_validate_json(row["state"])
            for sequence, event in by_training[row["id"]]:
                state = apply(state, event, sequence)
            await connection.execute(_SAVE, row["id"], state.model_dump_json(), state.status)


def _readable(batch: Iterable[Received]) -> Iterable[Sequenced]:
    for message in batch:
        try:
            yield message.sequence, read_event(message.subject, message.body)
        except Unreadable as error:
            log.warning("event.skipped", subject=message.subject, sequence=message.sequence, reason=error.message)


def _of_generation(event: Event) -> bool:
    return getattr(event, "generation_id", None) is not None


async def _append(connection: Connection, sequence: int, event: Event) -> None:
    if event.training_id is None or _of_generation(event):
        return
    out = event_out(event, sequence)
    columns = (out.type, out.occurred_at, out.stage, out.category, out.attempt, out.duration_ms)
    await connection.execute(_APPEND, event.event_id, event.training_id, sequence, *columns, json.dumps(out.data))


async def _add_model(connection: Connection, event: e.ModelPublished) -> None:
    hub = event.huggingface.model_dump_json() if event.huggingface else None
    job = (event.owner, event.name, event.trigger_word, event.base_model)
    weights = (event.weights_key, event.sha256, event.size_bytes, event.provider, event.provider_version)
    await connection.execute(_ADD_MODEL, event.model_id, event.training_id, *job, *weights, hub, event.occurred_at)


async def _project_generation(connection: Connection, sequence: int, event: Event) -> None:
    match event:
        case e.StageStarted() if event.generation_id:
            status, outcome = "running", {}
        case e.GenerationSucceeded():
            status, outcome = "succeeded", event.model_dump(mode="json")
        case e.GenerationFailed():
            status, outcome = "failed", event.model_dump(mode="json")
        case _:
            return
    await connection.execute(_SAVE_GENERATION, event.generation_id, status, json.dumps(outcome), sequence)
