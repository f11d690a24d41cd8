"""Weeks of events: made for any time, dropped whole, and nobody waits or fails meanwhile."""

import asyncio
from datetime import UTC, datetime, timedelta
from importlib import import_module

import asyncpg
import pytest

from fluxline.postgres.migrate import migrate
from fluxline.postgres.pool import Database
from fluxline_collector.housekeeping import Housekeeping
from fluxline_collector.migrations import SCHEMA
from fluxline_collector.partitions import Weeks, week_of
from fluxline_collector.store import EventStore
from polling import poll_until

from .messages import a_job, raw, received

KEEP, KEEP_JOBS = timedelta(days=90), timedelta(days=730)
_WEEKS = (
    "SELECT relname FROM pg_inherits JOIN pg_class ON oid = inhrelid WHERE inhparent = 'events'::regclass ORDER BY 1"
)


def now() -> datetime:
    return datetime.now(UTC)


async def weeks(database: Database) -> list[str]:
    return [row["relname"] for row in await database.pool.fetch(_WEEKS)]


async def stored(database: Database) -> int:
    return int(await database.pool.fetchval("SELECT count(*) FROM events"))


@pytest.mark.parametrize(
    "at",
    [
        datetime(1970, 1, 1, tzinfo=UTC),
        datetime(1999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(2027, 1, 3, 23, 59, tzinfo=UTC),
        datetime(2199, 7, 1, tzinfo=UTC),
    ],
    ids=str,
)
async def test_an_event_of_any_time_is_stored(store: EventStore, database: Database, at: datetime) -> None:
    assert await store.add([raw(b"{}", at=at), raw(b"{}", at=now(), place=1)]) == 2
    assert week_of(at).strftime("events_%Gw%V") in await weeks(database)
    assert await database.pool.fetchval("SELECT min(stored_at) = $1 OR max(stored_at) = $1 FROM events", at)


async def test_replicas_that_need_the_same_new_weeks_do_not_fail_each_other(database: Database) -> None:
    times = [datetime(2030, 1, 1, tzinfo=UTC) + timedelta(weeks=week) for week in range(4)]
    before = len(await weeks(database))
    await asyncio.gather(*(Weeks(database).ensure(times) for _ in range(8)))
    assert len(await weeks(database)) == before + 4


async def test_a_week_is_made_while_others_write_and_read(store: EventStore, database: Database) -> None:
    async with database.transaction() as writer:
        await writer.execute("SELECT count(*) FROM events")
        await writer.execute(
            "INSERT INTO events (sequence, stored_at, subject, readable, redacted, headers, body)"
            " VALUES (1, now(), 'x', false, false, '{}', '')"
        )
        assert await asyncio.wait_for(store.add([raw(b"{}", at=datetime(2040, 1, 1, tzinfo=UTC))]), 5) == 1


async def test_a_week_that_another_replica_dropped_is_made_again(store: EventStore, database: Database) -> None:
    old = now() - timedelta(days=200)
    await store.add([raw(b"{}", at=old)])
    await Weeks(database).drop_over(KEEP)
    assert await stored(database) == 0
    assert await store.add([raw(b"{}", at=old, place=1)]) == 1


async def test_a_week_is_kept_until_all_of_it_is_over(store: EventStore, database: Database) -> None:
    monday = week_of(now())
    await store.add(
        [raw(b"{}", at=monday - timedelta(weeks=week) + timedelta(days=6), place=week) for week in range(6)]
    )
    keep = now() - (monday - timedelta(weeks=2)) + timedelta(hours=1)  # the fourth week has an hour to go
    assert len(await Weeks(database).drop_over(keep)) == 2
    assert await stored(database) == 4
    assert len(await Weeks(database).drop_over(keep - timedelta(hours=2))) == 1


async def test_dropping_waits_for_a_reader_and_lets_everybody_else_work(store: EventStore, database: Database) -> None:
    await store.add([raw(b"{}", at=now() - timedelta(days=200))])
    async with database.transaction() as reader:
        assert await reader.fetchval("SELECT count(*) FROM events") == 1
        drop = asyncio.create_task(Weeks(database).drop_over(KEEP))
        await poll_until(lambda: _is_detaching(database))
        assert await asyncio.wait_for(store.add([raw(b"{}", at=now(), place=1)]), 5) == 1
        assert not drop.done()
    assert len(await asyncio.wait_for(drop, 10)) == 1
    assert await stored(database) == 1


async def _is_detaching(database: Database) -> bool:
    return bool(await database.pool.fetchval("SELECT EXISTS (SELECT FROM pg_inherits WHERE inhdetachpending)"))


async def test_a_drop_that_was_cut_off_is_ended_by_the_next(store: EventStore, database: Database) -> None:
    old = now() - timedelta(days=200)
    await store.add([raw(b"{}", at=old), raw(b"{}", at=old - timedelta(weeks=1), place=1)])
    pending, detached = (f"events_{(old - timedelta(weeks=n)).strftime('%Gw%V')}" for n in range(2))
    await database.pool.execute(f"ALTER TABLE events DETACH PARTITION {detached} CONCURRENTLY")
    async with database.transaction() as reader:
        await reader.fetchval("SELECT count(*) FROM events")
        with pytest.raises(TimeoutError):
            await database.pool.execute(f"ALTER TABLE events DETACH PARTITION {pending} CONCURRENTLY", timeout=0.5)
    assert sorted(await Weeks(database).drop_over(KEEP)) == sorted([pending, detached])
    assert not {pending, detached} & set(await weeks(database))


async def test_housekeeping_makes_weeks_ahead_and_trims_jobs_by_their_own_time(
    store: EventStore, database: Database
) -> None:
    await store.add(received(a_job(), began=now() - timedelta(days=800)))
    await store.add(received(a_job(), began=now() - timedelta(days=200)))
    await Housekeeping(database, KEEP, KEEP_JOBS).sweep()
    counts = [await database.pool.fetchval(f"SELECT count(*) FROM {table}") for table in ("events", "jobs", "attempts")]
    assert counts == [0, 1, 3]
    assert (week_of(now()) + timedelta(weeks=2)).strftime("events_%Gw%V") in await weeks(database)


async def test_one_replica_at_a_time_drops(store: EventStore, database: Database) -> None:
    await store.add([raw(b"{}", at=now() - timedelta(days=200))])
    results = await asyncio.gather(*(Housekeeping(database, KEEP, KEEP_JOBS).sweep() for _ in range(4)))
    assert sorted(len(dropped) for dropped in results) == [0, 0, 0, 1]


async def test_rows_from_before_there_were_weeks_move_into_them(empty_database_url: str) -> None:
    connection = await asyncpg.connect(empty_database_url, server_settings={"search_path": SCHEMA})
    try:
        await _first_revision(connection)
        await migrate(empty_database_url, "fluxline_collector")
        rows = await connection.fetch("SELECT tableoid::regclass::text AS week, sequence FROM events ORDER BY sequence")
        assert [tuple(row) for row in rows] == [("events_1999w52", 1), ("events_2026w48", 2)]
        assert await connection.fetchval("SELECT to_regclass('unpartitioned')") is None
    finally:
        await connection.close()


async def _first_revision(connection: asyncpg.Connection) -> None:
    """The schema and two rows as revision 0001 left them."""
    table = import_module("fluxline_collector.migrations.0001_events").TABLE
    await connection.execute(f"CREATE SCHEMA {SCHEMA}")
    await connection.execute(table)
    await connection.execute("CREATE INDEX events_of_training ON events (training_id, sequence)")
    await connection.execute("CREATE INDEX events_of_generation ON events (generation_id, sequence)")
    await connection.execute("CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)")
    await connection.execute("INSERT INTO alembic_version VALUES ('0001')")
    times = [datetime(2000, 1, 1, tzinfo=UTC), datetime(2026, 11, 25, tzinfo=UTC)]
    for sequence, at in enumerate(times, start=1):
        await connection.execute(
            "INSERT INTO events (sequence, stored_at, subject, readable, redacted, headers, body)"
            " VALUES ($1, $2, 'x', false, false, '{}', '')",
            sequence,
            at,
        )
