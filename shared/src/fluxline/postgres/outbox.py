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
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import nats.errors
import nats.js.errors
from nats.js.api import PubAck
from prometheus_client import CollectorRegistry, Counter, Gauge

from fluxline.contracts.catalog import EVENTS_STREAM
from fluxline.contracts.event import Event
from fluxline.postgres.pool import Connection, Database, database_error
from fluxline.runtime.bus import Bus, MessageRefused
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
AUDIT_WINDOW = timedelta(days=7)
AUDIT_OVERLAP = timedelta(minutes=5)
"""A row is stamped when its transaction begins, and seen when that ends."""
AUDIT_PAGE = 500
AUDIT_LOOKS = 32
"""How many messages one audit holds at a time."""

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
_PUBLISHED = """
SELECT id, event_id, stream_sequence, published_at FROM outbox
WHERE published_at > greatest(now() - $1::interval, $2::timestamptz) AND id > $3 ORDER BY id LIMIT $4
"""
_LOST = """
UPDATE outbox SET published_at = NULL FROM unnest($1::bigint[], $2::bigint[]) AS lost (lost_id, lost_at)
WHERE id = lost_id AND stream_sequence IS NOT DISTINCT FROM lost_at AND published_at IS NOT NULL
"""
_UNAVAILABLE = (nats.errors.Error, nats.js.errors.Error, ConnectionError, TimeoutError, OSError)
_EVER = datetime.fromtimestamp(0, UTC)

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


@dataclass(frozen=True)
class Sight:
    """What the stream looked like when it was looked at."""

    created: datetime
    first_sequence: int
    last_sequence: int
    reconnects: int

    def follows(self, before: "Sight | None") -> bool:
        """Whether nothing suggests that the stream lost messages since `before`."""
        return (
            before is not None
            and (self.created, self.reconnects) == (before.created, before.reconnects)
            and self.last_sequence >= before.last_sequence
        )


class EventLog:
    """The EVENTS stream as the audit sees it. Every call may raise `BrokerUnavailable`."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def look(self) -> Sight:
        """The stream as it is now."""
        jetstream = self._bus.jetstream
        try:
            info = await jetstream.stream_info(EVENTS_STREAM.name)
        except _UNAVAILABLE as error:
            raise _unavailable(error) from error
        reconnects = int(jetstream._nc.stats["reconnects"])
        return Sight(info.created or _EVER, info.state.first_seq, info.state.last_seq, reconnects)

    async def lacks(self, row: asyncpg.Record, sight: Sight) -> bool:
        """Whether the message of a row that was published is not in the stream."""
        sequence: int | None = row["stream_sequence"]
        if sequence is None:  # published before sequences were remembered
            return bool(row["published_at"] < sight.created)
        return sequence < sight.first_sequence or not await self.holds(row)

    async def holds(self, row: asyncpg.Record) -> bool:
        """Whether the message is where the row says."""
        for direct in (True, False):  # any replica answers the first time, and may lag; then the leader
            message_id = await self._id_at(row["stream_sequence"], direct=direct)
            if message_id and message_id.partition(":")[0] == str(row["event_id"]):
                return True
        return False

    async def _id_at(self, sequence: int, *, direct: bool) -> str | None:
        try:
            message = await self._bus.jetstream.get_msg(EVENTS_STREAM.name, sequence, direct=direct)
        except nats.js.errors.NotFoundError:
            return None
        except _UNAVAILABLE as error:
            raise _unavailable(error) from error
        return (message.headers or {}).get(MSG_ID)


class Relay:
    """Publishes what the outbox holds. Any number may run: each row is published by one at a time.

    `needed` is an SQL condition on a row of `outbox`: what the stream lost is published again only where it holds.
    The audit looks every `audit_s` at what is new, and at the whole `window` when the stream may have lost messages.
    """

    def __init__(
        self,
        database: Database,
        bus: Bus,
        needed: str | None = None,
        *,
        audit_s: float = AUDIT_S,
        window: timedelta = AUDIT_WINDOW,
    ) -> None:
        if window.total_seconds() >= EVENTS_STREAM.max_age_s:
            raise ValueError("the audit's window must be shorter than the stream keeps messages")
        self.database = database
        self.bus = bus
        self.audit_s = audit_s
        self.window = window
        self._lost_sql = f"{_LOST} AND ({needed or 'true'}) RETURNING id"
        self._events = EventLog(bus)
        self._sight: Sight | None = None
        self._audited_at = _EVER
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
        """Look for published rows whose message the stream lost, to be published again. Returns how many.

        Raises `BrokerUnavailable` when the stream cannot be read: nothing is taken for lost then.
        """
        sight, started_at = await self._events.look(), await self.database.pool.fetchval("SELECT now()")
        since = self._audited_at - AUDIT_OVERLAP if sight.follows(self._sight) else _EVER
        lost, last_id = 0, 0
        while rows := await self.database.pool.fetch(_PUBLISHED, self.window, since, last_id, AUDIT_PAGE):
            lost += await self._take_back(await self._missing(rows, sight))
            last_id = rows[-1]["id"]
        self._sight, self._audited_at = sight, started_at
        if lost:
            log.error("outbox.lost_messages", count=lost, stream=EVENTS_STREAM.name)
            self._lost.inc(lost)
            self._news.set()
        return lost

    async def purge(self) -> None:
        """Drop rows published longer than `KEEP` ago."""
        await self.database.pool.execute(_PURGE, KEEP)

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

    async def _missing(self, rows: list[asyncpg.Record], sight: Sight) -> list[asyncpg.Record]:
        missing: list[asyncpg.Record] = []
        for start in range(0, len(rows), AUDIT_LOOKS):
            some = rows[start : start + AUDIT_LOOKS]
            lacking = await asyncio.gather(*(self._events.lacks(row, sight) for row in some))
            missing += [row for row, lacks in zip(some, lacking, strict=True) if lacks]
        return missing

    async def _take_back(self, rows: list[asyncpg.Record]) -> int:
        """Have the rows that are needed published again; how many those are."""
        if not rows:
            return 0
        ids, sequences = [row["id"] for row in rows], [row["stream_sequence"] for row in rows]
        return len(await self.database.pool.fetch(self._lost_sql, ids, sequences))

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
            if clock() >= audit_at or await _quietly(self._looks_different):
                audit_at = clock() + self.audit_s if await _quietly(self._audit_once) else clock()
            if clock() >= purge_at and await _quietly(self._purge_once):
                purge_at = clock() + PURGE_S
            await asyncio.sleep(min(WATCH_S, self.audit_s))

    async def _measure(self) -> bool:
        self._age.set(await self.oldest_age_s())
        self._refused.set(await self.database.pool.fetchval(_REFUSED))
        return True

    async def _looks_different(self) -> bool:
        return not (await self._events.look()).follows(self._sight)

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


def _unavailable(error: BaseException) -> BrokerUnavailable:
    return BrokerUnavailable(f"NATS did not answer for the stream {EVENTS_STREAM.name} ({type(error).__name__})")
