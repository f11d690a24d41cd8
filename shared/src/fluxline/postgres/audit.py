"""The audit of an outbox: whether the stream still has what it once confirmed.

A JetStream that loses its disk, or has a damaged block, says nothing of it. The outbox knows where each of its
events lies; what is not there any more is marked unpublished, and the relay publishes it again.
"""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import asyncpg
import nats.errors
import nats.js.errors

from fluxline.contracts.catalog import EVENTS_STREAM
from fluxline.postgres.pool import Database
from fluxline.runtime.bus import Bus
from fluxline.runtime.envelope import MSG_ID
from fluxline.runtime.errors import BrokerUnavailable
from fluxline.runtime.logs import get_logger

WINDOW = timedelta(days=7)
OVERLAP = timedelta(minutes=5)
"""A row is stamped when its transaction begins, and seen when that ends."""
PAGE = 500
LOOKS = 32
"""How many messages one audit holds at a time."""
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


class Audit:
    """Compares the outbox with the stream; `needed` is an SQL condition on a row that is worth publishing again.

    It looks at what is new since the last time, and at the whole `window` when the stream may have lost messages.
    """

    def __init__(self, database: Database, events: EventLog, needed: str | None, window: timedelta) -> None:
        if window.total_seconds() >= EVENTS_STREAM.max_age_s:
            raise ValueError("the audit's window must be shorter than the stream keeps messages")
        self._database = database
        self._events = events
        self._window = window
        self._lost_sql = f"{_LOST} AND ({needed or 'true'}) RETURNING id"
        self._sight: Sight | None = None
        self._audited_at = _EVER

    async def is_called_for(self) -> bool:
        """Whether the stream looks as if it had lost something."""
        return not (await self._events.look()).follows(self._sight)

    async def take_back_lost(self) -> int:
        """Mark the published rows whose message the stream lost as unpublished. Returns how many.

        Raises `BrokerUnavailable` when the stream cannot be read: nothing is taken for lost then.
        """
        sight, started_at = await self._events.look(), await self._database.pool.fetchval("SELECT now()")
        since = self._audited_at - OVERLAP if sight.follows(self._sight) else _EVER
        lost, last_id = 0, 0
        while rows := await self._database.pool.fetch(_PUBLISHED, self._window, since, last_id, PAGE):
            lost += await self._take_back(await self._missing(rows, sight))
            last_id = rows[-1]["id"]
        self._sight, self._audited_at = sight, started_at
        if lost:
            log.error("outbox.lost_messages", count=lost, stream=EVENTS_STREAM.name)
        return lost

    async def _missing(self, rows: list[asyncpg.Record], sight: Sight) -> list[asyncpg.Record]:
        missing: list[asyncpg.Record] = []
        for start in range(0, len(rows), LOOKS):
            some = rows[start : start + LOOKS]
            lacking = await asyncio.gather(*(self._events.lacks(row, sight) for row in some))
            missing += [row for row, lacks in zip(some, lacking, strict=True) if lacks]
        return missing

    async def _take_back(self, rows: list[asyncpg.Record]) -> int:
        """Have the rows that are needed published again; how many those are."""
        if not rows:
            return 0
        ids, sequences = [row["id"] for row in rows], [row["stream_sequence"] for row in rows]
        return len(await self._database.pool.fetch(self._lost_sql, ids, sequences))


def _unavailable(error: BaseException) -> BrokerUnavailable:
    return BrokerUnavailable(f"NATS did not answer for the stream {EVENTS_STREAM.name} ({type(error).__name__})")
