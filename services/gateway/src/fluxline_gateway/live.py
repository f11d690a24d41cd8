"""Live events: one reader of the stream per process, fanned out in memory to every open page."""

import asyncio
from collections import defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple
from uuid import UUID

import nats.errors
import nats.js.errors
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from fluxline.contracts.catalog import EVENTS_STREAM
from fluxline.runtime.bus import Bus
from fluxline.runtime.envelope import read_event
from fluxline.runtime.errors import BrokerUnavailable, Unreadable
from fluxline.runtime.logs import get_logger
from fluxline_gateway.history import event_out, sse

RING = 5_000
"""How many events of the recent past are kept, to bridge what is published but not yet projected."""
QUEUE = 1_000
BATCH = 500
FETCH_TIMEOUT_S = 5.0
RETRY_S = 0.5

log = get_logger(__name__)


class LiveEvent(NamedTuple):
    """An event encoded once for all who watch its training."""

    sequence: int
    type: str
    training_id: UUID
    message: bytes


class Subscriber:
    """One open page. `lagging` is set once its queue has overflowed: it must reconnect and replay."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[LiveEvent] = asyncio.Queue(QUEUE)
        self.lagging = False

    def offer(self, event: LiveEvent) -> None:
        """Queue the event, unless the page is too slow."""
        try:
            self.queue.put_nowait(event)
        except asyncio.QueueFull:
            self.lagging = True


class LiveHub:
    """Reads the stream once and tells everybody who asked for a training."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self._ring: deque[LiveEvent] = deque(maxlen=RING)
        self._subscribers: dict[UUID, set[Subscriber]] = defaultdict(set)
        self._next = 0

    @contextmanager
    def subscribe(self, training_id: UUID) -> Iterator[Subscriber]:
        """Events of the training from the recent past on, the past ones first; leaving frees everything."""
        subscriber = Subscriber()
        for event in self._ring:
            if event.training_id == training_id:
                subscriber.offer(event)
        self._subscribers[training_id].add(subscriber)
        try:
            yield subscriber
        finally:
            self._subscribers[training_id].discard(subscriber)
            if not self._subscribers[training_id]:
                del self._subscribers[training_id]

    async def run(self) -> None:
        """Read until the bus stops; after an outage, go on where it ended."""
        while not self.bus.stopping:
            try:
                await self._read()
            except (BrokerUnavailable, nats.errors.Error, nats.js.errors.Error, TimeoutError, OSError) as error:
                log.debug("live.waiting", error=type(error).__name__)
                await asyncio.sleep(RETRY_S)

    async def _read(self) -> None:
        jetstream = self.bus.jetstream
        last = (await jetstream.stream_info(EVENTS_STREAM.name)).state.last_seq
        if self._next == 0 or self._next > last + 1:
            self._ring.clear()
            self._next = max(1, last - RING)
        config = ConsumerConfig(
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=self._next,
            ack_policy=AckPolicy.NONE,
            inactive_threshold=60.0,
            mem_storage=True,
        )
        subscription = await jetstream.pull_subscribe(">", stream=EVENTS_STREAM.name, config=config)
        while not self.bus.stopping:
            try:
                messages = await subscription.fetch(BATCH, timeout=FETCH_TIMEOUT_S)
            except TimeoutError:
                await subscription.consumer_info()
                continue
            for message in messages:
                self._tell(message)

    def _tell(self, message: Msg) -> None:
        sequence = message.metadata.sequence.stream
        self._next = sequence + 1
        try:
            event = read_event(message.subject, message.data)
        except Unreadable:
            return
        if event.training_id is None or getattr(event, "generation_id", None):
            return
        encoded = sse(sequence, event.subject, event_out(event, sequence).model_dump_json())
        live = LiveEvent(sequence, event.subject, event.training_id, encoded)
        self._ring.append(live)
        for subscriber in self._subscribers.get(event.training_id, ()):
            subscriber.offer(live)
