"""What JetStream tells of the services that work on trainings: whether one takes work, and how far it has come."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Final

import nats.errors
import nats.js.errors
from nats.js.api import ConsumerInfo

from fluxline.contracts.catalog import GENERATOR, PUBLISHER, TRAINER, ZIPPER, Consumer
from fluxline.contracts.errors import Stage
from fluxline.runtime.bus import Bus
from fluxline.runtime.errors import BrokerUnavailable

CONSUMER_OF: Final[Mapping[Stage, Consumer]] = {
    Stage.ZIP_CREATION: ZIPPER,
    Stage.REPLICATE_TRAINING: TRAINER,
    Stage.HUGGINGFACE_UPLOAD: PUBLISHER,
    Stage.IMAGE_GENERATION: GENERATOR,
}
"""Which durable consumer does the work of a stage."""
ASK_TIMEOUT_S = 2.0
IDLE_LOOKS = 2
"""A service that waits for messages is between two requests for a moment now and then."""
STUCK_ACK_WAITS = 4
"""What was delivered comes back after one ack_wait, if somebody is there to take it."""


@dataclass(frozen=True)
class WorkQueue:
    """A stage's queue. `delivered` is the newest sequence handed out; behind it lie `pending` messages.

    `idle`: nobody takes work and none is under way. `stuck`: nobody takes work, and what was handed out a long
    time ago has not come back, because its service is gone or is busy for long.
    """

    pending: int
    delivered: int
    idle: bool
    stuck: bool

    def holds(self, sequence: int) -> bool:
        """Whether the message still waits to be handed out."""
        return self.pending > 0 and sequence > self.delivered


@dataclass
class _Quiet:
    """Since when (monotonic) a consumer looks the same without anybody asking for messages."""

    mark: tuple[int, int, int]
    since: float
    looks: int = 0


class WorkQueues:
    """Looks at the consumers of `stages`, and remembers from look to look."""

    def __init__(self, bus: Bus, stages: tuple[Stage, ...]) -> None:
        self._bus = bus
        self._consumers = {stage: CONSUMER_OF[stage] for stage in stages}
        self._quiet: dict[Stage, _Quiet] = {}

    async def look(self) -> dict[Stage, WorkQueue] | None:
        """The queue of each stage; None when NATS cannot be reached. A stage whose consumer is missing is idle."""
        try:
            infos = await asyncio.gather(*map(self._ask, self._consumers.values()))
        except (BrokerUnavailable, nats.errors.Error, nats.js.errors.Error, TimeoutError, OSError):
            return None
        return {stage: self._judge(stage, info) for stage, info in zip(self._consumers, infos, strict=True)}

    async def _ask(self, consumer: Consumer) -> ConsumerInfo | None:
        stream, jetstream = consumer.stream.name, self._bus.jetstream
        try:
            info: ConsumerInfo = await jetstream.consumer_info(stream, consumer.durable, timeout=ASK_TIMEOUT_S)
            return info
        except nats.js.errors.NotFoundError:
            return None

    def _judge(self, stage: Stage, info: ConsumerInfo | None) -> WorkQueue:
        if info is None:
            return WorkQueue(pending=0, delivered=0, idle=True, stuck=False)
        under_way, delivered = info.num_ack_pending or 0, info.delivered.stream_seq if info.delivered else 0
        looks, quiet_s = self._quiet_for(stage, info)
        return WorkQueue(
            pending=info.num_pending or 0,
            delivered=delivered,
            idle=looks >= IDLE_LOOKS and under_way == 0,
            stuck=under_way > 0 and quiet_s >= STUCK_ACK_WAITS * (info.config.ack_wait or 0.0),
        )

    def _quiet_for(self, stage: Stage, info: ConsumerInfo) -> tuple[int, float]:
        """For how many looks in a row, and how many seconds, nobody has asked and nothing has changed."""
        if info.num_waiting:
            self._quiet.pop(stage, None)
            return 0, 0.0
        floor, delivered = (part.consumer_seq if part else 0 for part in (info.ack_floor, info.delivered))
        mark = (info.num_ack_pending or 0, floor, delivered)
        quiet = self._quiet.get(stage)
        if quiet is None or quiet.mark != mark:
            quiet = self._quiet[stage] = _Quiet(mark, monotonic())
        quiet.looks += 1
        return quiet.looks, monotonic() - quiet.since
