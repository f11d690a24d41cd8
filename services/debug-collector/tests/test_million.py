"""One job among very many: its summary is quick, by index alone. `COLLECTOR_TEST_EVENTS=1000000` for the full size."""

import json
import os
import statistics
import time
from dataclasses import fields
from datetime import UTC, datetime
from random import Random
from typing import Any
from uuid import UUID

from fluxline.postgres.pool import Database
from fluxline.runtime.envelope import Received
from fluxline_collector import store
from fluxline_collector.history import History
from fluxline_collector.record import Record, record_of
from fluxline_collector.teller import Teller

from . import million

EVENTS = int(os.environ.get("COLLECTOR_TEST_EVENTS", "50000"))
SUMMARIES = 200
P95_S = 0.05


class Asked:
    """A database that remembers what it was asked; stands in for its own pool."""

    def __init__(self, database: Database) -> None:
        self._pool = database.pool
        self.statements: dict[str, tuple[Any, ...]] = {}

    @property
    def pool(self) -> "Asked":
        return self

    async def fetch(self, statement: str, *arguments: Any) -> Any:
        self.statements[statement] = arguments
        return await self._pool.fetch(statement, *arguments)


async def test_one_job_among_many_is_found_by_index_and_summed_up_quickly(database: Database) -> None:
    trainings = await million.fill(database.url, EVENTS)
    for statement, arguments in (await _statements(database, trainings[0])).items():
        assert await _scanned(database, statement, arguments) == []
    times = await _summary_times(database, Random(5).choices(trainings, k=SUMMARIES))
    p95 = statistics.quantiles(times, n=20)[-1]
    print(f"\n{EVENTS} events: the summary of a job takes {p95 * 1000:.1f} ms (p95), {max(times) * 1000:.1f} at most")
    assert p95 < P95_S


async def _statements(database: Database, training_id: UUID) -> dict[str, tuple[Any, ...]]:
    """All that is asked for one training."""
    asked = Asked(database)
    teller = Teller(History(asked), None)  # type: ignore[arg-type]  # it is asked like one
    await teller.summary(training_id)
    await teller.timeline(training_id)
    await teller.report(training_id)
    return asked.statements | {store._READ: (training_id, 0, 200), store._READ_ALL: (training_id,)}


async def _scanned(database: Database, statement: str, arguments: tuple[Any, ...]) -> list[str]:
    """The tables with rows that a statement reads from end to end."""
    plan = await database.pool.fetchval(f"EXPLAIN (FORMAT JSON) {statement}", *arguments)
    nodes = list(_nodes(json.loads(plan)[0]["Plan"]))
    assert any("Index" in node["Node Type"] for node in nodes)
    scanned = [node["Relation Name"] for node in nodes if node["Node Type"] == "Seq Scan"]
    return [name for name in scanned if await database.pool.fetchval(f"SELECT EXISTS (SELECT FROM {name})")]


def _nodes(plan: dict[str, Any]) -> Any:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)


async def _summary_times(database: Database, trainings: list[UUID]) -> list[float]:
    teller = Teller(History(database), None)
    times = []
    for training_id in trainings:
        began = time.perf_counter()
        summary = await teller.summary(training_id)
        times.append(time.perf_counter() - began)
        assert summary.events > 0
    return times


def test_the_history_is_what_the_collector_would_have_stored() -> None:
    """And the same one each time."""
    began = datetime(2026, 1, 1, tzinfo=UTC)
    first, second = (list(million.rows(million.history(3000), began)) for _ in range(2))
    assert first == second
    for row in first:
        made = dict(zip(million.COLUMNS, row, strict=True))
        received = Received(made["subject"], made["body"], json.loads(made["headers"]), made["sequence"], 1, began)
        record = record_of(received)
        assert record.problem is None
        names = [field.name for field in fields(Record) if field.name in made and field.name != "stored_at"]
        assert {name: getattr(record, name) for name in names} == {name: made[name] for name in names}
