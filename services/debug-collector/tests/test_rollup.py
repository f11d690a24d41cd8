"""The tables `jobs` and `attempts`: what they say of a job, whatever order and batches its events came in."""

import asyncio
import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from random import Random
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fluxline.postgres.pool import Database
from fluxline.runtime.envelope import Received
from fluxline.runtime.telemetry import Metrics
from fluxline_collector.metrics import CollectorMetrics
from fluxline_collector.rebuild import roll_up_again
from fluxline_collector.store import EventStore

from .messages import BEGAN, FIRST, a_job, raw, received, unlucky_jobs
from .test_timeline import ACTIONS, told

EVERYTHING = [*received(a_job()), *received(unlucky_jobs(), BEGAN + timedelta(hours=1), FIRST + 100)]
EVERYTHING.append(raw(b'{"training_id": "%s"}' % str(uuid4()).encode(), place=300))
HISTORIES = int(os.environ.get("COLLECTOR_HISTORIES", "10"))


async def job(database: Database) -> dict[str, Any]:
    (row,) = await database.pool.fetch("SELECT * FROM jobs")
    return dict(row)


async def tables(database: Database) -> tuple[list[Any], list[Any], int]:
    jobs = await database.pool.fetch("SELECT * FROM jobs ORDER BY training_id")
    attempts = await database.pool.fetch("SELECT * FROM attempts ORDER BY sequence")
    return [dict(row) for row in jobs], [dict(row) for row in attempts], await count(database)


async def count(database: Database) -> int:
    return int(await database.pool.fetchval("SELECT count(*) FROM events"))


async def test_a_job_says_where_it_stands_and_what_it_cost(store: EventStore, database: Database) -> None:
    await store.add(received(a_job()))
    row = await job(database)
    assert (row["status"], row["stage"], row["category"]) == ("succeeded", "huggingface_upload", None)
    assert (row["events"], row["retries"], row["errors"], row["image_count"]) == (13, 1, 2, 5)
    assert (row["cost_usd"], row["external_id"], row["trainer_version"]) == (Decimal("1.75"), "second", "t1")
    assert (row["first_at"], row["last_sequence"]) == (BEGAN, FIRST + 12)
    assert row["trace_id"] == row["training_id"].hex


async def test_a_failed_job_says_why_until_it_runs_again(store: EventStore, database: Database) -> None:
    messages = received(a_job())
    await store.add(messages[:8])
    failed = await job(database)
    assert (failed["status"], failed["category"], failed["failed_stage"]) == ("failed", "network", "replicate_training")
    assert failed["ended_at"] is not None
    await store.add(messages[8:9])
    running = await job(database)
    assert (running["status"], running["category"], running["ended_at"]) == ("running", None, None)


async def test_every_end_of_a_stage_is_an_attempt_with_its_provider(store: EventStore, database: Database) -> None:
    await store.add(EVERYTHING)
    rows = await database.pool.fetch("SELECT outcome, provider, category FROM attempts ORDER BY sequence")
    assert [tuple(row) for row in rows] == [
        ("retried", "replicate", "network"),
        ("failed", "replicate", "network"),
        ("succeeded", "replicate", None),
        ("failed", "storage", "file_error"),
        ("succeeded", "replicate", None),
    ]


async def test_canceled_wins_and_a_replayed_failure_runs_again(store: EventStore, database: Database) -> None:
    await store.add(received(unlucky_jobs()))
    rows = await database.pool.fetch("SELECT status, errors FROM jobs ORDER BY first_at")
    assert [tuple(row) for row in rows] == [("canceled", 0), ("running", 1)]


async def test_a_job_that_was_published_stays_so(store: EventStore, database: Database) -> None:
    messages = received(a_job())
    late_failure = messages[7]
    await store.add(messages)
    await store.add([Received(late_failure.subject, late_failure.body, {}, FIRST + 50, 1, BEGAN + timedelta(hours=1))])
    assert (await job(database))["status"] == "succeeded"


async def test_the_table_and_the_summary_agree_on_how_every_training_stands(
    store: EventStore, database: Database
) -> None:
    """Two ways to the same word: SQL as events are stored, Python (`standing`) as a summary is asked for."""
    random = Random(7)
    stories = [told([random.randrange(len(ACTIONS)) for _ in range(random.randint(0, 20))], n) for n in range(200)]
    for number, story in enumerate(stories):
        await store.add([replace(message, sequence=number * 1000 + message.sequence) for message in story.messages])
    rows = await database.pool.fetch("SELECT training_id, status FROM jobs")
    assert {row["training_id"]: row["status"] for row in rows} == {
        story.training_id: story.summary().status for story in stories
    }
    assert {row["status"] for row in rows} == {"running", "succeeded", "failed", "canceled"}


@st.composite
def deliveries(draw: st.DrawFn) -> list[list[Received]]:
    """Everything at least once, in any order, in batches of any size."""
    again = draw(st.lists(st.sampled_from(EVERYTHING), max_size=12))
    order = draw(st.permutations([*EVERYTHING, *again]))
    cuts = sorted(draw(st.sets(st.integers(1, len(order) - 1), max_size=6)))
    return [order[start:end] for start, end in zip([0, *cuts], [*cuts, len(order)], strict=True)]


@given(batches=deliveries(), at_once=st.booleans())
@settings(max_examples=HISTORIES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_order_any_batches_and_any_repetition_make_the_same_tables(
    database_url: str, batches: list[list[Received]], at_once: bool
) -> None:
    asyncio.run(_compare(database_url, batches, at_once))


_EXPECTED: dict[str, Any] = {}


async def _compare(database_url: str, batches: Sequence[list[Received]], at_once: bool) -> None:
    database = Database(database_url, "collector", max_size=4)
    await database.open()
    replicas = [EventStore(database, CollectorMetrics(Metrics().registry)) for _ in range(2)]
    try:
        if database_url not in _EXPECTED:
            await _empty(database)
            await replicas[0].add(EVERYTHING)
            _EXPECTED[database_url] = await tables(database)
        expected = _EXPECTED[database_url]
        await _empty(database)
        stores = [replicas[n % 2].add(batch) for n, batch in enumerate(batches)]
        new = sum(await asyncio.gather(*stores)) if at_once else sum([await store for store in stores])
        assert new == len(EVERYTHING)
        assert await tables(database) == expected
        await roll_up_again(database)
        assert await tables(database) == expected
    finally:
        await database.close()


async def _empty(database: Database) -> None:
    await database.pool.execute("TRUNCATE events, jobs, attempts")


async def test_two_replicas_that_store_the_same_trainings_at_once_do_not_fail_each_other(
    database: Database, store: EventStore
) -> None:
    jobs = [received(a_job(), first=FIRST + 20 * n) for n in range(40)]
    by_place = [[messages[place] for messages in jobs] for place in range(len(jobs[0]))]
    backwards = [list(reversed(batch)) for batch in by_place]
    await asyncio.gather(*(store.add(batch) for pair in zip(by_place, backwards, strict=True) for batch in pair))
    rows = await database.pool.fetch("SELECT DISTINCT status, events, retries, errors, cost_usd FROM jobs")
    assert [tuple(row) for row in rows] == [("succeeded", 13, 1, 2, Decimal("1.75"))]


@pytest.mark.parametrize("wrong", [{"cost_usd": 99}, {"events": 0}, {"status": "failed"}])
async def test_what_is_wrong_in_a_table_is_right_after_a_rebuild(
    store: EventStore, database: Database, wrong: dict[str, Any]
) -> None:
    await store.add(EVERYTHING)
    expected = await tables(database)
    for column, value in wrong.items():
        await database.pool.execute(f"UPDATE jobs SET {column} = $1", value)
    await database.pool.execute("DELETE FROM attempts WHERE outcome = 'failed'")
    assert await roll_up_again(database) == len(expected[0])
    assert await tables(database) == expected
