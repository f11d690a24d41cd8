"""Live events: one reader of the stream per process, fanned out in memory to every open page."""

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from prometheus_client import CollectorRegistry, Gauge

from fluxline.contracts.catalog import EVENTS_STREAM
from fluxline.contracts.permissions import inbox_of_pulls
from fluxline.runtime.bus import Bus
from fluxline.runtime.cancelation import raise_if_canceled
from fluxline.runtime.envelope import read_event
from fluxline.runtime.errors import Unreadable
from fluxline.runtime.logs import get_logger
from fluxline_gateway.identity.keys import Principal
from fluxline_gateway.live.history import event_message, event_out, is_of_training
from fluxline_gateway.live.projected import OUTAGE, Projected

RING = 5_000
"""How many events of the recent past are kept, to bridge what is published but not yet projected."""
QUEUE = 1_000
BATCH = 500
FETCH_TIMEOUT_S = 2.0
RETRY_S = 0.2
START_S = 1.0
IDLE_CONSUMER_S = 60.0

log = get_logger(__name__)


class _Gap(Exception):
    """The server counts a message as delivered that has not arrived: the connection broke under it."""


class LiveEvent(NamedTuple):
    """An event encoded once for all who watch its training."""

    sequence: int
    type: str
    training_id: UUID
    message: bytes


class Subscriber:
    """One open page. `recent` and its queue hold together all that the hub told and tells of the training."""

    def __init__(
        self, recent: list[LiveEvent], floor: int, told: int | None, queue_size: int, reader: Principal | None = None
    ) -> None:
        self.reader = reader
        self.recent = recent
        """The training's events after the sequence `floor`, up to `told` (None: the hub knows none yet)."""
        self.floor = floor
        self.told = told
        self.lagging = False
        """Set once the queue has overflowed: the page must reconnect and replay."""
        self.queue: asyncio.Queue[LiveEvent | None] = asyncio.Queue(queue_size)

    def end(self) -> None:
        """Have the page reconnect: this process stops, or the page's key is no longer good."""
        self.lagging = True
        with suppress(asyncio.QueueFull):
            self.queue.put_nowait(None)

    def offer(self, event: LiveEvent) -> None:
        """Queue the event, unless the page is too slow."""
        try:
            self.queue.put_nowait(event)
        except asyncio.QueueFull:
            self.lagging = True

    async def next(self, timeout_s: float) -> LiveEvent | None:
        """The next event after those of `recent`; None when none comes in time, or when the stream is to end."""
        try:
            async with asyncio.timeout(timeout_s):
                return await self.queue.get()
        except TimeoutError:
            return None


class LiveHub:
    """Reads the stream once and tells everybody who asked for a training.

    `heartbeat_s` and `linger_s` are for who writes streams: how often a silent one says that it lives, and how long
    it stays open after the training's end, for the stage events that follow it.
    """

    def __init__(
        self,
        bus: Bus,
        *,
        heartbeat_s: float = 15.0,
        linger_s: float = 1.0,
        queue_size: int = QUEUE,
        ring_size: int = RING,
    ) -> None:
        self.bus = bus
        self.heartbeat_s = heartbeat_s
        self.linger_s = linger_s
        self.queue_size = queue_size
        self._ring: deque[LiveEvent] = deque(maxlen=ring_size)
        self._subscribers: dict[UUID, set[Subscriber]] = defaultdict(set)
        self._floor = 0
        """The newest sequence that has left the ring: what is not after it is for the history to know."""
        self._next: int | None = None
        self._moved = asyncio.Event()
        self.projected = Projected(bus)
        self._stream_created: datetime | None = None
        self._reading = asyncio.Event()
        self._ending = False

    def observe(self, registry: CollectorRegistry) -> None:
        """Show in `registry` how many pages are open."""
        Gauge("fluxline_live_streams", "Open streams of events", registry=registry).set_function(
            lambda: self.open_streams
        )

    def end_streams_if(self, is_over: Callable[[Principal], bool]) -> None:
        """End the streams of those readers."""
        for subscribers in self._subscribers.values():
            for subscriber in subscribers:
                if subscriber.reader and is_over(subscriber.reader):
                    subscriber.end()

    @property
    def readers(self) -> Iterator[Principal]:
        """Whose streams are open, one for each."""
        for subscribers in self._subscribers.values():
            yield from (subscriber.reader for subscriber in subscribers if subscriber.reader)

    def end_streams(self) -> None:
        """End every open page's stream, and every one that opens from now on; they reconnect elsewhere and replay."""
        self._ending = True
        for subscribers in self._subscribers.values():
            for subscriber in subscribers:
                subscriber.end()

    @property
    def open_streams(self) -> int:
        """How many pages are open."""
        return sum(map(len, self._subscribers.values()))

    async def wait_until_reading(self, within_s: float = START_S) -> None:
        """Return once the hub knows where in the stream it is, or after `within_s`: without NATS nothing is live."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._reading.wait()

    @property
    def told(self) -> int | None:
        """Up to which sequence all has been told; None before the hub has found the stream."""
        return self._next - 1 if self._next else None

    async def wait_until_told(self, sequence: int, within_s: float = START_S) -> None:
        """Return once all up to `sequence` has been told, or after `within_s`; at once when nothing is."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while self.told is not None and self.told < sequence:
                    await self._moved.wait()

    @contextmanager
    def subscribe(self, training_id: UUID, reader: Principal | None = None) -> Iterator[Subscriber]:
        """Watch a training, without a gap between the recent past and the queue; leaving frees everything.

        `reader` is whose key or token this hangs on (None: on none).
        """
        recent = [event for event in self._ring if event.training_id == training_id]
        subscriber = Subscriber(recent, self._floor, self.told, self.queue_size, reader)
        self._subscribers[training_id].add(subscriber)
        if self._ending:
            subscriber.end()
        try:
            yield subscriber
        finally:
            self._subscribers[training_id].discard(subscriber)
            if not self._subscribers[training_id]:
                del self._subscribers[training_id]

    def _is_stopping(self) -> bool:
        raise_if_canceled()
        return self.bus.stopping

    async def run(self) -> None:
        """Read until the bus stops; after an outage, go on where it ended."""
        while not self._is_stopping():
            try:
                await self._read(self.bus.jetstream)
            except _Gap:
                log.warning("live.gap", after=self.told)
            except OUTAGE as error:
                log.debug("live.waiting", error=type(error).__name__)
                await asyncio.sleep(RETRY_S)

    async def _read(self, jetstream: JetStreamContext) -> None:
        stream = await jetstream.stream_info(EVENTS_STREAM.name)
        if self._next is None or stream.created != self._stream_created:  # a stream made anew counts on from the clock
            self._ring.clear()
            self._next = max(1, stream.state.last_seq - (self._ring.maxlen or 0))
            self._floor = self._next - 1
            self._stream_created = stream.created
        self._reading.set()
        config = ConsumerConfig(
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=self._next,
            ack_policy=AckPolicy.NONE,
            inactive_threshold=IDLE_CONSUMER_S,
            mem_storage=True,
        )
        inbox = inbox_of_pulls(self.bus.service)
        subscription = await jetstream.pull_subscribe(">", stream=EVENTS_STREAM.name, config=config, inbox_prefix=inbox)
        try:
            await self._read_from(subscription)
        finally:
            with suppress(*OUTAGE):
                await subscription.unsubscribe()

    async def _read_from(self, subscription: JetStreamContext.PullSubscription) -> None:
        """Tell what comes, until the consumer is gone (after a restart of the server it is)."""
        delivered = 0
        while not self._is_stopping():
            try:
                messages = await subscription.fetch(BATCH, timeout=FETCH_TIMEOUT_S)
            except TimeoutError:
                if (await _delivered(subscription)) != delivered:
                    raise _Gap from None
                await self.projected.reaches(self._floor, 0)
                continue
            for message in messages:
                delivered += 1
                if message.metadata.sequence.consumer != delivered:
                    raise _Gap
                self._tell(message)
            self._moved.set()
            self._moved = asyncio.Event()

    def _tell(self, message: Msg) -> None:
        sequence = message.metadata.sequence.stream
        self._next = sequence + 1
        try:
            event = read_event(message.subject, message.data)
        except Unreadable:
            return
        if event.training_id is None or not is_of_training(event):
            return
        live = LiveEvent(sequence, event.subject, event.training_id, event_message(event_out(event, sequence)))
        if len(self._ring) == self._ring.maxlen:
            self._floor = self._ring[0].sequence
        self._ring.append(live)
        for subscriber in self._subscribers.get(event.training_id, ()):
            subscriber.offer(live)


async def _delivered(subscription: JetStreamContext.PullSubscription) -> int:
    """How many messages the server counts as delivered to this reader."""
    info = await subscription.consumer_info()
    return info.delivered.consumer_seq if info.delivered else 0
