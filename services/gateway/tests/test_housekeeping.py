"""What housekeeping drops, and what it leaves."""

import asyncio
from uuid import uuid4

from fluxline.postgres.outbox import Relay, enqueue
from fluxline.postgres.pool import Database
from fluxline_gateway.deps import Gateway
from fluxline_gateway.housekeeping import Housekeeping
from polling import poll_until
from streams import requested

_KEY = """
INSERT INTO idempotency_keys (owner, key, request_sha256, created_at)
VALUES ('ada', $1, '', now() - make_interval(days => $2))
"""
_TRAINING = """
INSERT INTO trainings (id, owner, name, status, request, image_ids, state)
VALUES ($1, 'ada', 'a', $2, '{}', '{}', '{}')
"""
_WATCH = "INSERT INTO stage_watches (training_id, run, stage, newest, at_work) VALUES ($1, 0, 'zip_creation', 1, true)"


def housekeeping(gateway: Gateway, *, every_s: float = 3600) -> Housekeeping:
    return Housekeeping(gateway.database, Relay(gateway.database, gateway.bus), every_s=every_s)


async def test_keys_of_idempotency_are_kept_for_thirty_days(gateway: Gateway, database: Database) -> None:
    await database.pool.execute(_KEY, "old", 31)
    await database.pool.execute(_KEY, "young", 29)
    await housekeeping(gateway).clean()
    assert [row["key"] for row in await database.pool.fetch("SELECT key FROM idempotency_keys")] == ["young"]


async def test_published_events_leave_the_outbox_long_after_and_waiting_ones_never(
    gateway: Gateway, database: Database
) -> None:
    old, young, waiting = requested(), requested(), requested()
    async with database.transaction() as connection:
        await enqueue(connection, "gateway", old, young, waiting)
        aged = "UPDATE outbox SET created_at = now() - interval '50 days'"
        await connection.execute(aged)
        published = "UPDATE outbox SET published_at = now() - make_interval(days => $2) WHERE event_id = $1"
        await connection.execute(published, old.event_id, 46)
        await connection.execute(published, young.event_id, 44)
    await housekeeping(gateway).clean()
    left = {row["event_id"] for row in await database.pool.fetch("SELECT event_id FROM outbox")}
    assert left == {young.event_id, waiting.event_id}


async def test_the_watchdog_forgets_only_what_has_ended_or_is_gone(gateway: Gateway, database: Database) -> None:
    running, ended, gone = uuid4(), uuid4(), uuid4()
    await database.pool.execute(_TRAINING, running, "training")
    await database.pool.execute(_TRAINING, ended, "failed")
    for training_id in (running, ended, gone):
        await database.pool.execute(_WATCH, training_id)
    await housekeeping(gateway).clean()
    assert [row["training_id"] for row in await database.pool.fetch("SELECT training_id FROM stage_watches")] == [
        running
    ]


async def test_it_cleans_again_and_again(gateway: Gateway, database: Database) -> None:
    work = asyncio.create_task(housekeeping(gateway, every_s=0.05).run())
    try:
        for n in range(2):
            await database.pool.execute(_KEY, f"old-{n}", 31)
            await poll_until(lambda: database.pool.fetchval("SELECT count(*) = 0 FROM idempotency_keys"))
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
