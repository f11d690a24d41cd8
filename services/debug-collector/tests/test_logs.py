"""The services' logs, from the stream LOGS to an answer, on a real NATS and a real PostgreSQL."""

import asyncio
import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from fastapi import FastAPI
from nats.js import JetStreamContext

from fluxline.contracts.logs import LogPage
from fluxline.postgres.pool import Database
from fluxline.runtime.envelope import Received
from fluxline.runtime.logs import get_logger
from fluxline.runtime.telemetry import Metrics
from fluxline_collector.log_record import UNREADABLE
from fluxline_collector.log_retention import LogRetention
from fluxline_collector.log_store import LogFilter, LogStore
from fluxline_collector.metrics import LogMetrics
from polling import poll_until

START = datetime(2026, 3, 4, 12, tzinfo=UTC)
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture
def logs(database: Database) -> LogStore:
    return LogStore(database, LogMetrics(Metrics().registry))


def line(event: str = "zip.stored", *, at: datetime = START, **facts: Any) -> bytes:
    """A record as a service ships it."""
    record = {"level": "info", "logger": "fluxline.test", "service": "zipper", "instance": "host:1", "fields": {}}
    return json.dumps(record | {"at": at.isoformat(), "event": event} | facts, default=str).encode()


def message(*lines: bytes, sequence: int = 1, at: datetime = START) -> Received:
    return Received("logs.zipper", b"\n".join(lines), {}, sequence, 1, at)


async def rows(database: Database) -> list[Any]:
    found: list[Any] = await database.pool.fetch("SELECT * FROM logs ORDER BY stored_at, sequence, line")
    return found


def events(page: LogPage) -> list[str]:
    return [record.event for record in page.items]


async def test_what_a_service_logs_is_answered_with_its_job(
    client: httpx.AsyncClient, app: FastAPI, jetstream: JetStreamContext
) -> None:
    training_id = uuid4()
    get_logger("fluxline.test").warning("zip.odd", training_id=str(training_id), size_bytes=5)

    async def answer() -> list[Any]:
        page = await client.get(f"/v1/trainings/{training_id}/logs")
        return page.json().get("items", [])

    (record,) = await poll_until(answer)
    assert (record["event"], record["level"], record["fields"]) == ("zip.odd", "warning", {"size_bytes": 5})
    everything = (await client.get("/v1/logs", params={"q": "ZIP.odd"})).json()
    assert [item["event"] for item in everything["items"]] == ["zip.odd"]


async def test_every_line_is_stored_once_whatever_it_holds(logs: LogStore, database: Database) -> None:
    lines = [
        b"",
        b"{",
        b"\xff\xfe\x00",
        b"[]",
        b'{"at": "soon"}',
        b"[" * 100_000,
        line(level="shouting"),
        line(at=datetime(9999, 12, 31, 23, tzinfo=UTC)).replace(b"+00:00", b"-12:00"),
        line("odd\0event", service="\ud800", fields={"nan": float("nan"), "inf": float("inf"), "nul\0": "\0\ud800"}),
        line(fields={"large": 1}).replace(b'"large": 1', b'"large": 1e999'),
        line(fields={"text": "x" * 900_000}),
        line(at=START.replace(tzinfo=None), trace_id="\0"),
        line("good", training_id="not a uuid"),
        line("good", training_id=str(uuid4()), trace_id="".join(map(chr, range(20_000, 30_000)))),
    ]
    batch = [message(*lines), message(line("next"), sequence=2), message(b"\n" * 1000, sequence=3)]
    await asyncio.gather(logs.store(batch), logs.store(batch[:1]), logs.store(list(reversed(batch))))
    stored = await rows(database)
    assert len(stored) == len(lines) - 1 + 1
    assert [row["event"] for row in stored if row["readable"]] == [
        "odd\ufffdevent", *["zip.stored"] * 3, "good", "next"
    ]  # fmt: skip
    assert {row["event"] for row in stored if not row["readable"]} == {UNREADABLE}
    assert json.loads(stored[7]["fields"])["nan"] == "NaN"


async def test_no_secret_is_stored_though_its_sender_let_it_through(logs: LogStore, database: Database) -> None:
    secret = "hf_abcdefghijklmnopqrst"
    await logs.store(
        [message(line(f"event {secret}", fields={"deep": [{"a": secret}]}), f"not json {secret}".encode())]
    )
    assert secret not in str(await rows(database))
    assert len(await rows(database)) == 2


async def test_a_training_has_the_records_of_its_id_and_of_its_traces_and_no_others(
    logs: LogStore, database: Database
) -> None:
    training_id, other = uuid4(), uuid4()
    await _add_event(database, training_id, TRACE)
    lines = [
        line("mine", training_id=training_id),
        line("traced", trace_id=TRACE),
        line("another's in the same trace", trace_id=TRACE, training_id=other),
        line("another trace", trace_id="0" * 32),
        line("nobody's"),
        line("both", training_id=training_id, trace_id=TRACE),
    ]
    await logs.store([message(*lines)])
    page = await logs.of_training(training_id, LogFilter(), after=None, limit=10)
    assert events(page) == ["mine", "traced", "both"]
    newest = await logs.of_training(training_id, LogFilter(), after=None, limit=2, order="newest")
    assert events(newest) == ["both", "traced"]


async def _add_event(database: Database, training_id: UUID, trace_id: str) -> None:
    await database.pool.execute(
        """
        WITH week AS (SELECT ensure_week('events', now()))
        INSERT INTO events (sequence, stored_at, subject, training_id, trace_id, readable, redacted, headers, body)
        SELECT 1, now(), 'zip.created', $1, $2, true, false, '{}', '' FROM week
        """,
        training_id,
        trace_id,
    )


@pytest.mark.parametrize("order", ["oldest", "newest"])
async def test_pages_give_every_record_once_in_order(logs: LogStore, order: Any) -> None:
    training_id = uuid4()
    batch = [
        message(
            *(line(f"{n}.{m}", training_id=training_id) for m in range(3)), sequence=n, at=START + n * timedelta(days=3)
        )
        for n in range(1, 6)
    ]
    await logs.store(batch)
    for read in (logs.of_all, lambda *a, **k: logs.of_training(training_id, *a, **k)):
        seen: list[str] = []
        after = None
        while page := await read(LogFilter(), after=after, limit=4, order=order):
            seen += events(page)
            after = page.next_cursor
            if after is None:
                break
        expected = [f"{n}.{m}" for n in range(1, 6) for m in range(3)]
        assert seen == (expected if order == "oldest" else expected[::-1])


async def test_filters_pick_by_level_service_words_and_time(logs: LogStore) -> None:
    hour = timedelta(hours=1)
    await logs.store(
        [
            message(
                line("a", level="debug"),
                line("b", level="warning", service="trainer", at=START + hour),
                line("c", level="error", fields={"reason": "Quota 100 % exceeded_"}, at=START + 2 * hour),
            )
        ]
    )

    async def found(**wanted: Any) -> list[str]:
        return events(await logs.of_all(LogFilter(**wanted), after=None, limit=10, order="oldest"))

    assert await found() == ["a", "b", "c"]
    assert await found(level="warning") == ["b", "c"]
    assert await found(level="error") == ["c"]
    assert await found(service="trainer") == ["b"]
    assert await found(q="quota 100 % EXCEEDED_") == ["c"]
    assert await found(q="%") == ["c"]
    assert await found(since=START + hour) == ["b", "c"]
    assert await found(until=START + hour) == ["a"]


async def test_weeks_that_are_over_go_and_the_coming_ones_are_there(logs: LogStore, database: Database) -> None:
    now = datetime.now(UTC)
    ages = (0, 10, 30, 400)
    batch = [message(line(f"{age}"), sequence=age + 1, at=now - timedelta(days=age)) for age in ages]
    await logs.store(batch)
    retention = LogRetention(database, timedelta(days=14))
    dropped = await asyncio.gather(retention.sweep(), retention.sweep())
    assert sorted(row["event"] for row in await rows(database)) == ["0", "10"]
    names = [name for one in dropped for name in one]
    assert len(names) == len({*names}) == 2
    assert await retention.sweep() == []
    await logs.store([message(line("next week"), sequence=99, at=now + timedelta(days=7))])


@pytest.mark.parametrize("after", ["x", "1.2", "1.2.3.4", f"{10**30}.1.1", f"1.{2**63}.1", f"1.1.{2**31}", "\0.1.1"])
async def test_a_cursor_that_is_none_of_ours_is_refused(client: httpx.AsyncClient, after: str) -> None:
    for path in ("/v1/logs", f"/v1/trainings/{uuid4()}/logs"):
        answer = await client.get(path, params={"after": after})  # even before there is a database
        assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")


async def test_odd_filters_are_answered_or_refused(client: httpx.AsyncClient, app: FastAPI) -> None:
    async def status(**params: str) -> int:
        return (await client.get("/v1/logs", params=params)).status_code

    await poll_until(lambda: _is_ready(client))
    assert await status(q="\0", service="\0") == 200
    assert await status(since="0001-01-01T00:00:00+14:00") == 422
    assert await status(until="9999-12-31T23:59:59-12:00") == 422
    assert await status(since="2026-01-01T00:00:00") == 422
    assert await status(level="loud") == 422


async def _is_ready(client: httpx.AsyncClient) -> bool:
    return (await client.get("/readyz")).status_code == 200


async def test_nobody_reads_logs_without_the_token(client: httpx.AsyncClient) -> None:
    for path in ("/v1/logs", f"/v1/trainings/{uuid4()}/logs"):
        assert (await client.get(path, headers={"Authorization": "Bearer wrong"})).status_code == 401


async def test_a_job_and_the_newest_records_are_found_along_indexes(logs: LogStore, database: Database) -> None:
    trainings = [uuid4() for _ in range(50)]
    for week in range(3):
        lines = [line(f"{n}", training_id=trainings[n % 50]) for n in range(5000)]
        await logs.store([message(*lines, sequence=week + 1, at=START + timedelta(days=7 * week))])
    await database.pool.execute("ANALYZE logs")
    job = await _plan(database, logs, "of_training", trainings[0])
    newest = await _plan(database, logs, "of_all")
    assert not re.search(r"Seq Scan on logs_2026w1\d", job + newest), job + newest  # the others are empty
    assert "Sort Key" not in newest


async def _plan(database: Database, logs: LogStore, name: str, *training: UUID) -> str:
    """What PostgreSQL does for the first page."""
    from fluxline_collector import log_store

    wanted = LogFilter().arguments
    if name == "of_training":
        statement, more = log_store._OF_TRAINING["oldest"], [training[0], [TRACE]]
        place = log_store._ENDS["oldest"]
    else:
        statement, more, place = log_store._OF_ALL["newest"], [], log_store._ENDS["newest"]
    found = await database.pool.fetch(f"EXPLAIN (ANALYZE) {statement}", *wanted, *place, 100, *more)
    return "\n".join(row[0] for row in found)
