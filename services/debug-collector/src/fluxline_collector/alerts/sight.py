"""What of the streams is looked at: the backlog of each consumer, and the dead letters. Read only."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import nats.errors
import nats.js.errors

from fluxline.contracts.catalog import COLLECTOR, CONSUMERS, DLQ_STREAM, Consumer
from fluxline.contracts.errors import FluxlineError
from fluxline.runtime.bus import Bus
from fluxline.runtime.logs import get_logger
from fluxline_collector.alerts.observations import Backlog

_AWAY: Final = (nats.errors.Error, nats.js.errors.Error, FluxlineError, OSError)
DLQ_SUBJECT: Final = "dlq."

log = get_logger(__name__)


@dataclass(frozen=True)
class Sight:
    """Backlogs of consumers that exist, and how many dead letters each has; None where NATS does not answer."""

    backlogs: list[Backlog] | None
    depths: Mapping[str, int] | None

    @property
    def behind_s(self) -> float | None:
        """Seconds that the collector is behind the stream, where that is known."""
        ages = [one.age_s for one in self.backlogs or () if one.durable == COLLECTOR.durable]
        return ages[0] if ages else None


BLIND: Final = Sight(None, None)


class StreamSight:
    """Looks at the streams through a process's connection."""

    def __init__(self, bus: Bus, consumers: Iterable[Consumer] = CONSUMERS) -> None:
        self._bus = bus
        self._consumers = tuple(consumers)

    async def look(self) -> Sight:
        """What is there now; `BLIND` when NATS does not answer, which is logged."""
        try:
            found = [await self._backlog(consumer) for consumer in self._consumers]
            return Sight([one for one in found if one is not None], await self._depths())
        except _AWAY as error:
            log.warning("alerts.blind", error=type(error).__name__)
            return BLIND

    async def _backlog(self, consumer: Consumer) -> Backlog | None:
        stream = consumer.stream.name
        try:
            info = await self._bus.jetstream.consumer_info(stream, consumer.durable)
        except nats.js.errors.NotFoundError:
            return None
        if not info.num_pending:
            return Backlog(consumer.durable, 0, 0.0)
        taken = info.delivered.stream_seq if info.delivered else 0
        times = [await self._next_after(stream, subject, taken) for subject in consumer.subjects]
        ages = [(datetime.now(UTC) - at).total_seconds() for at in times if at]
        return Backlog(consumer.durable, info.num_pending, max(0.0, *ages, 0.0))

    async def _next_after(self, stream: str, subject: str, sequence: int) -> datetime | None:
        try:
            message = await self._bus.jetstream.get_msg(stream, sequence + 1, subject=subject, next=True)
        except nats.js.errors.NotFoundError:
            return None
        return message.time

    async def _depths(self) -> dict[str, int]:
        info = await self._bus.jetstream.stream_info(DLQ_STREAM.name, subjects_filter=f"{DLQ_SUBJECT}>")
        return {subject.removeprefix(DLQ_SUBJECT): count for subject, count in (info.state.subjects or {}).items()}
