"""How far the table is behind the stream, and whether a message was gone before it could be stored.

A message is lost for certain when the consumer's ack floor has passed its sequence and there is no row of it. JetStream
moves the floor when a message is acknowledged, which follows the commit, and when the stream has no such message any
more. What the floor has passed is counted one look later, so that a batch on its way is no loss; each range is counted
once, by one replica, in `stream_marks`. A stream that was made anew starts at a later sequence: what it skips was never
a message.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import nats.js.errors

from fluxline.contracts.catalog import COLLECTOR, EVENTS_STREAM
from fluxline.postgres.pool import Connection, Database
from fluxline.runtime.bus import Bus
from fluxline.runtime.logs import get_logger
from fluxline_collector.metrics import LagMetrics

LOOK_S = 5.0
COUNT_S = 60.0
SLACK = timedelta(minutes=10)
"""How far the broker's clock may go back without making a row look missing at first."""
_LOCK = "SELECT pg_try_advisory_xact_lock(hashtextextended('fluxline_collector.lag', 0))"
_MARK = "SELECT created, counted_to, counted_at, floor, floor_at, seen_to FROM stream_marks WHERE stream = $1"
_LOST = "SELECT lost FROM stream_marks WHERE stream = $1"
_STORED = "SELECT count(*) FROM events WHERE sequence > $1 AND sequence <= $2 AND stored_at >= $3"
_SET = """
INSERT INTO stream_marks (stream, created, counted_to, counted_at, floor, floor_at, seen_to, lost)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (stream) DO UPDATE SET created = $2, counted_to = $3, counted_at = $4, floor = $5, floor_at = $6,
    seen_to = $7, lost = stream_marks.lost + $8
"""
_EVER = datetime(1970, 1, 1, tzinfo=UTC)

log = get_logger(__name__)


@dataclass(frozen=True)
class Look:
    """The stream and the consumer at one time: sequences, and when the oldest message that is not stored came.

    Whatever has a sequence up to `floor` is stored or gone; what is above it came at `floor_at` or later.
    """

    at: datetime
    created: datetime
    began_at: int
    last: int
    floor: int
    waiting: int
    oldest_at: datetime | None

    @property
    def floor_at(self) -> datetime:
        """The time that belongs to the floor."""
        return self.oldest_at or self.at


class Lag:
    """Looks at the stream and tells the metrics."""

    def __init__(self, bus: Bus, database: Database, metrics: LagMetrics) -> None:
        self._bus = bus
        self._database = database
        self._metrics = metrics

    async def observe(self) -> Look:
        """Set the gauges. Raises what nats-py raises, or `BrokerUnavailable`, when the stream cannot be seen."""
        look = await self._look()
        age = (look.at - look.oldest_at).total_seconds() if look.oldest_at else 0.0
        self._metrics.messages.set(look.waiting)
        self._metrics.seconds.set(max(0.0, age))
        return look

    async def count_lost(self) -> int:
        """Count what the last look's floor had passed, unless another replica does; how many are lost by now."""
        look = await self._look()
        async with self._database.transaction() as connection:
            if await connection.fetchval(_LOCK):
                await _count(connection, look)
        lost = int(await self._database.pool.fetchval(_LOST, EVENTS_STREAM.name) or 0)
        self._metrics.lost.value = lost
        return lost

    async def _look(self) -> Look:
        jetstream = self._bus.jetstream
        stream = await jetstream.stream_info(EVENTS_STREAM.name)
        consumer = await jetstream.consumer_info(EVENTS_STREAM.name, COLLECTOR.durable)
        floor = max(consumer.ack_floor.stream_seq if consumer.ack_floor else 0, stream.state.first_seq - 1)
        waiting = (consumer.num_pending or 0) + (consumer.num_ack_pending or 0)
        return Look(
            at=datetime.now(UTC),
            created=stream.created or _EVER,
            began_at=stream.config.first_seq or 1,
            last=stream.state.last_seq,
            floor=floor,
            waiting=waiting,
            oldest_at=await self._time_after(floor) if waiting else None,
        )

    async def _time_after(self, floor: int) -> datetime | None:
        try:
            message = await self._bus.jetstream.get_msg(EVENTS_STREAM.name, floor + 1, subject=">", next=True)
        except nats.js.errors.NotFoundError:
            return None
        return message.time


async def _count(connection: Connection, look: Look) -> None:
    mark = await connection.fetchrow(_MARK, EVENTS_STREAM.name)
    if mark is None:  # what went before anybody looked is nobody's loss
        counted_to, counted_at, lost = look.floor, look.floor_at, 0
    elif mark["created"] == look.created:
        lost = await _missing(connection, mark["counted_to"], mark["floor"], mark["counted_at"])
        counted_to, counted_at = mark["floor"], mark["floor_at"]
    else:  # of the stream that is no more, everything that was seen of it
        lost = await _missing(connection, mark["counted_to"], mark["seen_to"], mark["counted_at"])
        counted_to, counted_at = look.began_at - 1, look.created
    floor = max(counted_to, look.floor)
    marks = (look.created, counted_to, counted_at, floor, look.floor_at, look.last, lost)
    await connection.execute(_SET, EVENTS_STREAM.name, *marks)


async def _missing(connection: Connection, after: int, to: int, since: datetime) -> int:
    """How many sequences of the range have no row; asked without the time before anything is called lost."""
    missing = 0
    for earliest in (max(_EVER, since - SLACK), _EVER):
        missing = max(0, to - after - await connection.fetchval(_STORED, after, to, earliest)) if to > after else 0
        if not missing:
            return 0
    log.error("events.lost", count=missing, after=after, to=to)
    return missing
