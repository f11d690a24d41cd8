"""The projection on a real PostgreSQL: whatever the batches, the replicas and the repeats, rows are the pure fold."""

import asyncio
import json
from collections.abc import Coroutine
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fluxline.contracts import events as e
from fluxline.postgres.migrate import migrate
from fluxline.postgres.pool import Database
from fluxline_gateway.migrations import SCHEMA
from fluxline_gateway.trainings.projection import Projection
from fluxline_gateway.trainings.state import TERMINAL, TrainingState

from .histories import Pipeline, Sequenced, deliveries, fold, pipelines
from .jobs import received

BOUNDED = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
_REQUEST = json.dumps(
    {"trigger_word": "ADATOK", "base_model": "x", "publish": {"enabled": False}, "webhook_url": None, "metadata": {}}
)
_ADD = """
INSERT INTO trainings (id, owner, name, status, request, image_ids, state, deleting)
VALUES ($1, 'ada', 'Ada', 'requested', $4, '{}', $2, $3)
"""
_RESERVE = "INSERT INTO spending (id, owner, kind, reserved_usd) VALUES ($1, 'ada', 'training', 1.5)"
_TABLES = ("trainings", "training_events", "models", "outbox", "spending")


@pytest.fixture
def migrated_url(database_url: str) -> str:
    asyncio.run(migrate(database_url, "fluxline_gateway"))
    return database_url


async def _opened(url: str, work: Any) -> Any:
    """Do the work on an open database: Hypothesis runs each example in a loop of its own."""
    database = Database(url, SCHEMA, max_size=3)
    await database.open()
    try:
        for table in _TABLES:
            await database.pool.execute(f"DELETE FROM {table}")
        return await work(database)
    finally:
        await database.close()


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


@st.composite
def batches(draw: st.DrawFn, stream: list[Sequenced]) -> list[list[Sequenced]]:
    """The deliveries of a stream, cut anywhere."""
    delivered = draw(deliveries(stream))
    cuts = sorted(draw(st.sets(st.integers(1, max(1, len(delivered) - 1)), max_size=5)))
    return [delivered[a:b] for a, b in zip([0, *cuts], [*cuts, len(delivered)], strict=True) if delivered[a:b]]


async def project(database: Database, pipeline: Pipeline, parts: list[list[Sequenced]], deleting: bool) -> None:
    """Two replicas share the batches, both at once."""
    await database.pool.execute(_ADD, pipeline.training_id, TrainingState().model_dump_json(), deleting, _REQUEST)
    await database.pool.execute(_RESERVE, pipeline.training_id)
    replicas = (Projection(database), Projection(database))

    async def work(number: int) -> None:
        for part in parts[number::2]:
            await replicas[number].handle([received(sequence, event) for sequence, event in part])

    await asyncio.gather(work(0), work(1))


@given(pipelines(max_steps=25), st.data())
@BOUNDED
def test_rows_are_the_fold_of_the_stream(migrated_url: str, pipeline: Pipeline, data: st.DataObject) -> None:
    parts = data.draw(batches(pipeline.stream))

    async def rows(database: Database) -> tuple[asyncpg.Record, list[int], int, asyncpg.Record]:
        await project(database, pipeline, parts, deleting=False)
        row = await database.pool.fetchrow("SELECT status, state FROM trainings")
        history = await database.pool.fetch("SELECT sequence FROM training_events ORDER BY sequence")
        models = await database.pool.fetchval("SELECT count(*) FROM models")
        money = await database.pool.fetchrow("SELECT ended, spent_usd FROM spending")
        return row, [event["sequence"] for event in history], models, money

    row, history, models, money = run(_opened(migrated_url, rows))
    expected = fold(pipeline.stream)
    assert TrainingState.model_validate_json(row["state"]) == expected
    assert row["status"] == expected.status == pipeline.status
    assert history == [sequence for sequence, _ in pipeline.stream]
    assert models == (pipeline.status == "completed")
    assert money["ended"] is (expected.run > 0 or expected.status in TERMINAL)
    has_trained = any(isinstance(event, e.TrainingSucceeded) and event.run == 0 for _, event in pipeline.stream)
    assert money["spent_usd"] == (1.5 if has_trained else None)


@given(pipelines(max_steps=25), st.data())
@BOUNDED
def test_a_training_that_is_to_be_deleted_is_gone_at_its_end_and_stays_gone(
    migrated_url: str, pipeline: Pipeline, data: st.DataObject
) -> None:
    parts = data.draw(batches(pipeline.stream))
    ends = any(fold(pipeline.stream[:n]).status in TERMINAL for n in range(1, len(pipeline.stream) + 1))

    async def left(database: Database) -> tuple[list[int], int]:
        await project(database, pipeline, parts, deleting=True)
        counts = [await database.pool.fetchval(f"SELECT count(*) FROM {table}") for table in _TABLES[:3]]
        deletions = "SELECT count(*) FROM outbox WHERE subject = $1"
        return counts, await database.pool.fetchval(deletions, e.TrainingDeleteRequested.subject)

    counts, deletions = run(_opened(migrated_url, left))
    if pipeline.status in TERMINAL:
        assert (counts, deletions) == ([0, 0, 0], 1)
    elif not ends:
        assert (counts[0], deletions) == (1, 0)
