"""The transactional outbox: an event is stored with the change that it tells of, and published for certain.

The relay publishes rows in order, with the event's id as message id, and marks them only after the stream
has confirmed; a crash in between publishes again, which the stream drops. Rows stay for `KEEP` after that,
longer than the stream keeps messages. The audit compares them with the stream, and publishes again what it lost.

An event that NATS can never take (too large) is set aside with its `refusal`, so that those behind it go on.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import asyncpg
from nats.js.api import PubAck
from prometheus_client import CollectorRegistry, Counter, Gauge

from fluxline.contracts.event import Event
from fluxline.postgres import inbox
from fluxline.postgres.audit import WINDOW, Audit, EventLog
from fluxline.postgres.pool import Connection, Database, database_error
from fluxline.runtime.bus import Bus, MessageRefused
from fluxline.runtime.cancelation import raise_if_canceled
from fluxline.runtime.envelope import MSG_ID, body_of, current_trace, headers_of
from fluxline.runtime.errors import BrokerUnavailable
from fluxline.runtime.logs import get_logger
from fluxline.runtime.telemetry import continued_trace

BATCH = 100
SWEEP_S = 1.0
WATCH_S = 5.0
PURGE_S = 86_400.0
KEEP = timedelta(days=45)
AUDIT_S = 3600.0

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

ADD_SEQUENCE_SQL = """
ALTER TABLE outbox ADD COLUMN IF NOT EXISTS stream_sequence bigint, ADD COLUMN IF NOT EXISTS refusal text
"""
"""For a later one: where in the stream a row lies, and why it never will."""

_INSERT = """
INSERT INTO outbox (event_id, subject, body, headers) VALUES ($1, $2, $3, $4) ON CONFLICT (event_id) DO NOTHING
"""
_CLAIM = """
SELECT id, event_id, subject, body, headers, stream_sequence, published_at FROM outbox
WHERE published_at IS NULL AND refusal IS NULL ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED
"""
_MARK = """
UPDATE outbox SET published_at = now(), stream_sequence = confirmed_at
FROM unnest($1::bigint[], $2::bigint[]) AS confirmed (confirmed_id, confirmed_at) WHERE id = confirmed_id
"""
_REFUSE = "UPDATE outbox SET refusal = $2 WHERE id = $1"
_PURGE = "DELETE FROM outbox WHERE published_at < now() - $1::interval"
_OLDEST = """
SELECT extract(epoch FROM now() - created_at)::float8 FROM outbox
WHERE published_at IS NULL AND refusal IS NULL ORDER BY id LIMIT 1
"""
_REFUSED = "SELECT count(*) FROM outbox WHERE published_at IS NULL AND refusal IS NOT NULL"
log = get_logger(__name__)


async def enqueue(connection: Connection, source: str, *events: Event, trace: dict[str, str] | None = None) -> None:
    """Store `events` in the running transaction, with the current trace (or `trace`); repeats change nothing."""
    for event in events:
        headers = headers_of(event, source) | (current_trace() if trace is None else trace)
        await connection.execute(_INSERT, event.event_id, event.subject, body_of(event), json.dumps(headers))
    await connection.execute("SELECT pg_notify('outbox_' || current_schema(), '')")


async def outbox_age(database: Database) -> float:
    """Age in seconds of the first row that waits to be published; 0 when all is out."""
    return float(await database.pool.fetchval(_OLDEST) or 0.0)


class Relay:
    """Publishes what the outbox holds. Any number may run: each row is published by one at a time.

    `needed` is an SQL condition on a row of `outbox`: what the stream lost is published again only where it holds.
    `with_inbox` says that the schema has an inbox, which the daily purge clears too.
    The audit looks every `audit_s`, and when the stream looks as if it had lost messages (see `Audit`).
    """

    def __init__(
        self,
        database: Database,
        bus: Bus,
        needed: str | None = None,
        *,
        audit_s: float = AUDIT_S,
        window: timedelta = WINDOW,
        with_inbox: bool = False,
    ) -> None:
        self.database = database
        self.with_inbox = with_inbox
        self.bus = bus
        self.audit_s = audit_s
        self._events = EventLog(bus)
        self._audit = Audit(database, self._events, needed, window)
        self._news = asyncio.Event()
        self._age = Gauge("fluxline_outbox_oldest_seconds", "Age of the first event that waits", registry=None)
        self._refused = Gauge("fluxline_outbox_refused", "Events that NATS refuses for ever", registry=None)
        self._lost = Counter("fluxline_outbox_lost_messages", "Events that the stream had lost", registry=None)

    def observe(self, registry: CollectorRegistry) -> None:
        """Register the relay's metrics; `run` keeps them."""
        for metric in (self._age, self._refused, self._lost):
            registry.register(metric)

    async def run(self) -> None:
        """Publish for ever: at once when notified, each second otherwise; outages are waited out."""
        async with asyncio.TaskGroup() as group:
            for work in (self._listen, self._relay, self._watch):
                group.create_task(work())

    async def publish_batch(self) -> int:
        """Publish up to a hundred rows and mark the confirmed ones; returns how many. Raises when none can be."""
        async with self.database.transaction() as connection:
            rows = await connection.fetch(_CLAIM, BATCH)
            results = await asyncio.gather(*(self._publish(row) for row in rows), return_exceptions=True)
            settled = await _settle(connection, rows, results)
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, BrokerUnavailable | MessageRefused):
                raise result
        if rows and not settled:
            raise BrokerUnavailable("NATS confirms nothing from the outbox")
        return settled

    async def audit(self) -> int:
        """Have published again what the stream lost; returns how much. Raises `BrokerUnavailable`."""
        lost = await self._audit.take_back_lost()
        if lost:
            self._lost.inc(lost)
            self._news.set()
        return lost

    async def purge(self) -> None:
        """Drop rows published longer than `KEEP` ago, and what the inbox beside them remembers for too long."""
        await self.database.pool.execute(_PURGE, KEEP)
        if self.with_inbox:
            await inbox.purge(self.database)

    async def oldest_age_s(self) -> float:
        """Age of the first unpublished row in seconds; 0 when all is out."""
        return await outbox_age(self.database)

    async def _publish(self, row: asyncpg.Record) -> int:
        """The row's sequence in the stream."""
        headers: dict[str, str] = json.loads(row["headers"])
        with continued_trace(headers):
            ack = await self.bus.publish_raw(row["subject"], row["body"], headers)
            if ack.duplicate and ack.seq == row["stream_sequence"] and not await self._events.holds(row):
                ack = await self._publish_anew(row, headers)
        return ack.seq

    async def _publish_anew(self, row: asyncpg.Record, headers: dict[str, str]) -> PubAck:
        """A stream may remember the id of a message that it has no more: then it goes under another id."""
        message_id = f"{row['event_id']}:a{row['stream_sequence']}"
        return await self.bus.publish_raw(row["subject"], row["body"], headers | {MSG_ID: message_id})

    async def _relay(self) -> None:
        while True:
            self._news.clear()
            if not await _quietly(self._publish_full_batch):
                with suppress(TimeoutError):
                    async with asyncio.timeout(SWEEP_S):
                        await self._news.wait()

    async def _publish_full_batch(self) -> bool:
        """True when there may be more to publish at once."""
        return await self.publish_batch() == BATCH

    async def _watch(self) -> None:
        """Keep the metrics; audit at the start, when the stream looks different, and when it is time; purge daily."""
        clock = asyncio.get_running_loop().time
        audit_at = purge_at = clock()
        while True:
            await _quietly(self._measure)
            if clock() >= audit_at or await _quietly(self._audit.is_called_for):
                audit_at = clock() + self.audit_s if await _quietly(self._audit_once) else clock()
            if clock() >= purge_at and await _quietly(self._purge_once):
                purge_at = clock() + PURGE_S
            await asyncio.sleep(min(WATCH_S, self.audit_s))

    async def _measure(self) -> bool:
        self._age.set(await self.oldest_age_s())
        self._refused.set(await self.database.pool.fetchval(_REFUSED))
        return True

    async def _audit_once(self) -> bool:
        """A condition that PostgreSQL refuses must not end a process that publishes well."""
        try:
            await self.audit()
        except asyncpg.PostgresError as error:
            if database_error(error):
                raise
            log.exception("outbox.audit_failed")
        return True

    async def _purge_once(self) -> bool:
        await self.purge()
        return True

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


async def _settle(connection: Connection, rows: list[asyncpg.Record], results: list[int | BaseException]) -> int:
    """Mark what is confirmed, set aside what is refused; how many rows that are."""
    sequences: dict[int, int] = {}
    refused = 0
    for row, result in zip(rows, results, strict=True):
        if isinstance(result, int):
            sequences[row["id"]] = result
        elif isinstance(result, MessageRefused):
            refused += 1
            log.error("outbox.refused", event_id=str(row["event_id"]), subject=row["subject"], reason=result.message)
            await connection.execute(_REFUSE, row["id"], result.message)
    await connection.execute(_MARK, list(sequences), list(sequences.values()))
    return len(sequences) + refused


async def _quietly(work: Callable[[], Awaitable[bool]]) -> bool:
    """What `work` says; False, after a pause, while NATS or PostgreSQL is away."""
    raise_if_canceled()
    try:
        return await work()
    except BrokerUnavailable as error:
        log.warning("outbox.waiting", reason=error.message)
    except Exception as error:
        if database_error(error) is None:
            raise
        log.warning("outbox.waiting", reason=type(error).__name__)
    await asyncio.sleep(SWEEP_S / 2)
    return False
