"""Questions across jobs over a long history: each is quick, and reads no more of the tables than its span.

`COLLECTOR_TEST_EVENTS=1000000` asks a million events; the default is small enough for every run.
"""

import asyncio
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from fluxline.contracts.insights import MAX_LIMIT
from fluxline.postgres.migrate import migrate
from fluxline.postgres.pool import Database
from fluxline_collector.insight_cursor import MAX_SPAN, Place, span_of
from fluxline_collector.insight_queries import COSTS, FAILURES, JOBS, PROVIDERS, RETRIES, STAGES, Question
from fluxline_collector.insights import Answers, arguments
from servers import PostgresServer

from .million import fill

EVENTS = int(os.environ.get("COLLECTOR_TEST_EVENTS", "30000"))
WITHIN_S = 1.0
JOBS_WITHIN_S = 0.1
ROUNDS = 9
"""More than the five after which PostgreSQL may go over to a plan for any parameters."""
FILTERS = (*("bucket", "stage", "provider", "version", "category", "owner", "status", "min_duration_ms", "stuck", "q"),)
QUESTIONS: dict[str, tuple[Question, dict[str, Any]]] = {
    "stages": (STAGES, {}),
    "stages by hour": (STAGES, {"bucket": "hour"}),
    "failures": (FAILURES, {}),
    "failures by hour": (FAILURES, {"bucket": "hour"}),
    "retries": (RETRIES, {}),
    "providers by day": (PROVIDERS, {"bucket": "day"}),
    "costs by day": (COSTS, {"bucket": "day"}),
    "newest jobs": (JOBS["newest"], {}),
    "slowest jobs": (JOBS["slowest"], {}),
    "costliest jobs": (JOBS["costliest"], {}),
    "stuck jobs": (JOBS["newest"], {"stuck": True}),
    "jobs by a word": (JOBS["newest"], {"q": "portrait 99"}),
}
VIEWS = (
    *("stage_durations", "failure_rates", "slow_jobs", "stuck_jobs", "retries_that_helped", "provider_latency"),
    *("job_costs", "provider_costs", "retried_attempts", "retried_runs", "usual_stage_times"),
)
SPANS_OF = {
    "stages": ("attempts", "attempts_by_end"),
    "failures": ("attempts", "attempts_by_end"),
    "retries": ("attempts", "attempts_by_end"),
    "providers by day": ("attempts", "attempts_by_end"),
    "newest jobs": ("jobs", "jobs_by_beginning"),
    "slowest jobs": ("jobs", "jobs_by_beginning"),
    "costliest jobs": ("jobs", "jobs_by_beginning"),
    "costs by day": ("jobs", "jobs_by_payment"),
}
"""By which index a question finds the rows of its span."""


@pytest.fixture(scope="module")
def filled(postgres: PostgresServer) -> Iterator[str]:
    url = postgres.create_database()

    async def make() -> None:
        await migrate(url, "fluxline_collector")
        await fill(url, EVENTS)

    asyncio.run(make())
    yield url
    postgres.drop_database(url)


def filters(**given: Any) -> dict[str, Any]:
    return dict.fromkeys(FILTERS) | given


async def test_every_question_about_all_time_is_answered_quickly(filled: str) -> None:
    database = Database(filled, "collector", max_size=1)
    await database.open()
    try:
        answers = Answers(database)
        place = Place(since=datetime.now(UTC) - MAX_SPAN + timedelta(hours=1), limit=MAX_LIMIT)
        took = {name: await _seconds(answers, name, place) for name in QUESTIONS}
    finally:
        await database.close()
    print({name: f"{1000 * seconds:.0f} ms" for name, seconds in took.items()})
    assert {name: s for name, s in took.items() if s > (JOBS_WITHIN_S if "jobs" in name else WITHIN_S)} == {}


async def _seconds(answers: Answers, name: str, place: Place) -> float:
    """The median of some rounds."""
    question, given = QUESTIONS[name]
    rounds = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        page = await answers.page(question, filters(**given), place)
        rounds.append(time.perf_counter() - began)
        assert page.items
    return sorted(rounds)[ROUNDS // 2]


async def test_every_view_is_read_quickly(filled: str) -> None:
    connection = await asyncpg.connect(filled, server_settings={"search_path": "collector"})
    took = {}
    try:
        for name in VIEWS:
            began = time.perf_counter()
            assert await connection.fetchval(f"SELECT count(row_of_it) FROM {name} AS row_of_it")
            took[name] = time.perf_counter() - began
    finally:
        await connection.close()
    print({name: f"{1000 * seconds:.0f} ms" for name, seconds in took.items()})
    assert {name: seconds for name, seconds in took.items() if seconds > WITHIN_S} == {}


@pytest.mark.parametrize("name", SPANS_OF)
async def test_a_question_about_one_day_reads_that_day(filled: str, name: str) -> None:
    table, index = SPANS_OF[name]
    question, given = QUESTIONS[name]
    now = datetime.now(UTC)
    span = span_of(Place(since=now - timedelta(days=1)), now)
    connection = await asyncpg.connect(filled, server_settings={"search_path": "collector"})
    try:
        rows = await connection.fetch(
            f"EXPLAIN {question.sql}", *arguments(question, span, filters(**given), None, 100)
        )
    finally:
        await connection.close()
    plan = "\n".join(row[0] for row in rows)
    assert index in plan, plan
    assert f"Seq Scan on {table} " not in plan, plan
