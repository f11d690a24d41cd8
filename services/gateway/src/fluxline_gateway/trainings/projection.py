"""The projection: events onto rows, in one transaction a batch.

A training's event has its effect when its row in `training_events` is new, so deliveries may repeat and overlap.
Events of a training that does not exist, or does not any more, have none: nothing deleted comes back.
"""

import json
from collections import defaultdict
from collections.abc import Iterable
from typing import Final
from uuid import UUID

import asyncpg

from fluxline.contracts import events as e
from fluxline.contracts.event import Event
from fluxline.postgres.pool import Connection, Database
from fluxline.runtime.envelope import Received, read_event
from fluxline.runtime.errors import Unreadable
from fluxline.runtime.logs import get_logger
from fluxline.runtime.trace_context import TRACEPARENT
from fluxline_gateway.live.history import event_out, is_of_training
from fluxline_gateway.models import samples
from fluxline_gateway.models.samples import AutomaticSamples
from fluxline_gateway.trainings import spending
from fluxline_gateway.trainings.deletion import remove
from fluxline_gateway.trainings.fold import apply
from fluxline_gateway.trainings.job_metrics import JobEnd, JobMetrics
from fluxline_gateway.trainings.rows import save
from fluxline_gateway.trainings.state import TERMINAL, TrainingState

_LOCK = "SELECT * FROM trainings WHERE id = ANY($1::uuid[]) ORDER BY id FOR UPDATE"
_APPEND = """
INSERT INTO training_events
    (event_id, training_id, sequence, type, occurred_at, stage, category, attempt, duration_ms, data)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::text[], $5::timestamptz[], $6::text[], $7::text[],
    $8::bigint[], $9::bigint[], $10::json[])
ON CONFLICT (event_id) DO NOTHING RETURNING event_id
"""
_ADD_MODEL = """
INSERT INTO models (id, training_id, owner, name, trigger_word, base_model, weights_key, sha256, size_bytes,
    provider, provider_version, huggingface, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) ON CONFLICT DO NOTHING
"""
_RUN_GENERATION = "UPDATE generations SET status = 'running', updated_at = now() WHERE id = $1 AND status = 'requested'"
_END_GENERATION = """
UPDATE generations SET status = $2, outcome = $3, updated_at = now()
WHERE id = $1 AND status IN ('requested', 'running')
"""
_REFUSED = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, ValueError)
"""What PostgreSQL, or its client (a ValueError), says to a value that no column holds."""

_CAUSES: Final = ("model.published", "generation.")
Sequenced = tuple[int, Event]
log = get_logger(__name__)


class Projection:
    """Applies the stream to the gateway's tables; `automatic` asks for the sample images of what is published."""

    def __init__(
        self, database: Database, automatic: AutomaticSamples | None = None, metrics: JobMetrics | None = None
    ) -> None:
        self.database = database
        self.automatic = automatic
        self.metrics = metrics or JobMetrics()

    async def handle(self, batch: list[Received]) -> None:
        """Apply a batch, all or nothing. What cannot be read or stored is left to the collector, which keeps it."""
        known = sorted(_readable(batch), key=lambda pair: pair[0])
        traces = _traces(batch, known)
        try:
            await self._apply(known, traces)
        except _REFUSED:
            for pair in known:
                await self._apply_alone(pair, traces)

    async def _apply_alone(self, pair: Sequenced, traces: samples.Traces) -> None:
        """One event that must not hold up the others."""
        try:
            await self._apply([pair], traces)
        except _REFUSED as error:
            log.error("event.refused", subject=pair[1].subject, sequence=pair[0], error=type(error).__name__)

    async def _apply(self, known: list[Sequenced], traces: samples.Traces) -> None:
        async with self.database.transaction() as connection:
            new, ends = await _project_trainings(connection, [pair for pair in known if is_of_training(pair[1])])
            ended = [event for _, event in known if await _project_generation(connection, event)]
            if ended:
                await samples.end_batches(connection, ended, traces)
            if self.automatic:
                published = [event for event in new if isinstance(event, e.ModelPublished)]
                await self.automatic.ask(connection, published, traces)
        self.metrics.count(ends)


def _readable(batch: Iterable[Received]) -> Iterable[Sequenced]:
    for message in batch:
        try:
            yield message.sequence, read_event(message.subject, message.body)
        except Unreadable as error:
            log.warning("event.skipped", subject=message.subject, sequence=message.sequence, reason=error.message)


def _traces(batch: Iterable[Received], known: Iterable[Sequenced]) -> samples.Traces:
    """The traces of those events that something new may follow from."""
    headers = {message.sequence: message.headers.get(TRACEPARENT) for message in batch}
    causes = ((event, headers[sequence]) for sequence, event in known if event.subject.startswith(_CAUSES))
    return {event.training_id: {TRACEPARENT: trace} for event, trace in causes if event.training_id and trace}


async def _project_trainings(connection: Connection, known: list[Sequenced]) -> tuple[list[Event], list[JobEnd]]:
    """What was new, and the ends among it.

    Trainings are locked first and by id, so that replicas wait for each other, not for ever.
    """
    ids = sorted({event.training_id for _, event in known if event.training_id})
    rows = {row["id"]: row for row in await connection.fetch(_LOCK, ids)}
    await _settle(connection, known)
    news: dict[UUID | None, list[Sequenced]] = defaultdict(list)
    for sequence, event in await _append(connection, [pair for pair in known if pair[1].training_id in rows]):
        news[event.training_id].append((sequence, event))
        if isinstance(event, e.ModelPublished):
            await _add_model(connection, event)
        elif isinstance(event, e.ModelCardUpdated):
            await samples.show(connection, event)
        elif isinstance(event, e.ModelCardFailed):
            await samples.fail(connection, event)
    moved = [
        await _move(connection, row, news[training_id]) for training_id, row in rows.items() if training_id in news
    ]
    return [event for of_one in news.values() for _, event in of_one], [end for ends in moved for end in ends]


async def _move(connection: Connection, row: asyncpg.Record, news: list[Sequenced]) -> list[JobEnd]:
    """Apply what is new to a training; one that was only waiting for its end to be deleted is deleted with it.

    Each status on the way is saved, for a webhook tells of it, however many events come at once.
    """
    state = first = TrainingState.model_validate_json(row["state"])
    ends: list[JobEnd] = []
    for sequence, event in news:
        before, state = state.status, apply(state, event, sequence)
        if state.status != before:
            await save(connection, row["id"], state)
            if state.status in TERMINAL:
                ends.append(_end(row, state, event))
    await save(connection, row["id"], state)
    has_ended = state.status in TERMINAL
    if has_ended != (first.status in TERMINAL) or state.run != first.run:
        await spending.end(connection, row["id"], state.run, state.last_event_at if has_ended else None)
    if row["deleting"] and has_ended:
        await remove(connection, row, state, keep_repository=row["keep_repository"])
    return ends


def _end(row: asyncpg.Record, state: TrainingState, event: Event) -> JobEnd:
    category = event.category.value if isinstance(event, e.TrainingFailed) else ""
    return JobEnd(state.status, category, (event.occurred_at - row["created_at"]).total_seconds())


async def _settle(connection: Connection, known: list[Sequenced]) -> None:
    """What the provider's runs have cost, whatever became of their trainings: who is deleted has paid, too."""
    trained = [event for _, event in known if isinstance(event, e.TrainingSucceeded)]
    for event in sorted(trained, key=lambda event: (event.training_id, event.run)):
        await spending.settle(connection, event.training_id, event.run, event.cost, event.occurred_at)


async def _append(connection: Connection, known: list[Sequenced]) -> list[Sequenced]:
    """Add to the history; returns what was new to it."""
    first = {event.event_id: (sequence, event) for sequence, event in reversed(known)}
    rows = [_history_row(*first[event_id]) for event_id in sorted(first)]
    columns = list(zip(*rows, strict=True)) or [()] * 10
    new = {row["event_id"] for row in await connection.fetch(_APPEND, *columns)}
    return [pair for event_id, pair in reversed(first.items()) if event_id in new]


def _history_row(sequence: int, event: Event) -> tuple[object, ...]:
    out = event_out(event, sequence)
    facts = (out.type, out.occurred_at, out.stage, out.category, out.attempt, out.duration_ms)
    return event.event_id, event.training_id, sequence, *facts, json.dumps(out.data)


async def _add_model(connection: Connection, event: e.ModelPublished) -> None:
    hub = event.huggingface.model_dump_json() if event.huggingface else None
    job = (event.owner, event.name, event.trigger_word, event.base_model)
    weights = (event.weights_key, event.sha256, event.size_bytes, event.provider, event.provider_version)
    await connection.execute(_ADD_MODEL, event.model_id, event.training_id, *job, *weights, hub, event.occurred_at)


async def _project_generation(connection: Connection, event: Event) -> bool:
    """Whether the event ends a generation."""
    match event:
        case e.StageStarted() if event.generation_id:
            await connection.execute(_RUN_GENERATION, event.generation_id)
            return False
        case e.GenerationSucceeded():
            status = "succeeded"
            await spending.settle(connection, event.generation_id, 0, event.cost, event.occurred_at)
        case e.GenerationFailed():
            status = "failed"
        case e.GenerationCanceled():
            status = "canceled"
            if event.cost:
                await spending.settle(connection, event.generation_id, 0, event.cost, event.occurred_at)
        case _:
            return False
    await connection.execute(_END_GENERATION, event.generation_id, status, event.model_dump_json())
    await spending.release(connection, [event.generation_id])
    return True
