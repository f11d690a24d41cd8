"""The transactional outbox: an event is stored with the change that it tells of, and published for certain.

The relay publishes rows in order, with the event's id as message id, and marks them only after the stream
has confirmed; a crash in between publishes again, which the stream drops. Rows stay for `KEEP` after that,
longer than the stream keeps messages, so that a lost stream can be filled again.
"""

import asyncio
import json
from contextlib import suppress
from datetime import timedelta
from typing import Any

import asyncpg

from fluxline.contracts.event import Event
from fluxline.postgres.pool import Connection, Database, database_error
from fluxline.runtime.bus import Bus
from fluxline.runtime.envelope import body_of, current_trace, headers_of
from fluxline.runtime.errors import BrokerUnavailable
from fluxline.runtime.logs import get_logger
from fluxline.runtime.telemetry import continued_trace

BATCH = 100
SWEEP_S = 1.0
KEEP = timedelta(days=45)

TABLE_SQL = """
CREATE TABLE outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id uuid NOT NULL UNIQUE,
    subject text NOT NULL,
    body bytea NOT NULL,
    headers jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    published_at timestamptz
);
CREATE INDEX outbox_unpublished ON outbox (id) WHERE published_at IS NULL;
CREATE INDEX outbox_published ON outbox (published_at) WHERE published_at IS NOT NULL;
"""
"""For a service's first migration."""

_INSERT = """
INSERT INTO outbox (event_id, subject, body, headers) VALUES ($1, $2, $3, $4) ON CONFLICT (event_id) DO NOTHING
"""
_CLAIM = """
SELECT id, subject, body, headers FROM outbox WHERE published_at IS NULL ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED
"""
_MARK = "UPDATE outbox SET published_at = now() WHERE id = ANY($1::bigint[])"
_PURGE = "DELETE FROM outbox WHERE published_at < now() - $1::interval"
_OLDEST = "SELECT extract(epoch FROM now() - min(created_at))::float8 FROM outbox WHERE published_at IS NULL"

log = get_logger(__name__)


async def enqueue(connection: Connection, source: str, *events: Event, trace: dict[str, str] | None = None) -> None:
    """Store `events` in the running transaction, with the current trace (or `trace`); repeats change nothing."""
    for event in events:
        headers = headers_of(event, source) | (current_trace() if trace is None else trace)
        await connection.execute(_INSERT, event.event_id, event.subject, body_of(event), json.dumps(headers))
    await connection.execute("SELECT pg_notify('outbox_' || current_schema(), '')")


class Relay:
    """Publishes what the outbox holds. Any number may run: each row is published by one at a time."""

    def __init__(self, database: Database, bus: Bus) -> None:
        self.database = database
        self.bus = bus
        self._news = asyncio.Event()

    async def run(self) -> None:
        """Publish for ever: at once when notified, each second otherwise; outages are waited out."""
        listener = asyncio.create_task(self._listen())
        try:
            while True:
                self._news.clear()
                if not await self._publish_quietly():
                    with suppress(TimeoutError):
                        async with asyncio.timeout(SWEEP_S):
                            await self._news.wait()
        finally:
            listener.cancel()

    async def publish_batch(self) -> int:
        """Publish up to a hundred rows and mark the confirmed ones; returns how many. Raises when none can be."""
        async with self.database.transaction() as connection:
            rows = await connection.fetch(_CLAIM, BATCH)
            results = await asyncio.gather(*(self._publish(row) for row in rows), return_exceptions=True)
            done = [row["id"] for row, result in zip(rows, results, strict=True) if result is None]
            await connection.execute(_MARK, done)
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, BrokerUnavailable):
                raise result
        if rows and not done:
            raise BrokerUnavailable("NATS confirms nothing from the outbox")
        return len(done)

    async def purge(self) -> None:
        """Drop rows published longer than `KEEP` ago."""
        await self.database.pool.execute(_PURGE, KEEP)

    async def oldest_age_s(self) -> float:
        """Age of the oldest unpublished row in seconds; 0 when all is out."""
        return float(await self.database.pool.fetchval(_OLDEST) or 0.0)

    async def _publish_quietly(self) -> bool:
        """True when there may be more to publish at once."""
        try:
            return await self.publish_batch() == BATCH
        except BrokerUnavailable as error:
            log.warning("outbox.waiting", reason=error.message)
        except Exception as error:
            if database_error(error) is None:
                raise
            log.warning("outbox.waiting", reason=type(error).__name__)
        await asyncio.sleep(SWEEP_S / 2)
        return False

    async def _publish(self, row: asyncpg.Record) -> None:
        headers: dict[str, str] = json.loads(row["headers"])
        with continued_trace(headers):
            await self.bus.publish_raw(row["subject"], row["body"], headers)

    async def _listen(self) -> None:
        """Turn notifications into wake-ups; the sweep covers whatever is missed while this reconnects."""
        while True:
            with suppress(Exception):
                await self._listen_until_closed()
            await asyncio.sleep(SWEEP_S)

    async def _listen_until_closed(self) -> None:
        connection = await asyncpg.connect(self.database.url, timeout=5)
        try:
            closed = asyncio.Event()
            connection.add_termination_listener(lambda _: closed.set())
            await connection.add_listener(f"outbox_{self.database.schema}", self._wake)
            await closed.wait()
        finally:
            connection.terminate()

    def _wake(self, *_: Any) -> None:
        self._news.set()
