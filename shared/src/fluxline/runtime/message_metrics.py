"""What a process tells of the messages of its durable consumers: how they end, how long they wait, what is left."""

from collections import Counter as Tally
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Final

from nats.js.api import ConsumerInfo
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from fluxline.contracts.catalog import EVENTS, EVENTS_STREAM, Consumer
from fluxline.runtime.envelope import Received
from fluxline.runtime.exemplars import exemplar

OUTCOMES: Final = ("succeeded", "retried", "given_up", "dropped", "unreadable", "postponed")
"""Of one delivery. Dropped: its job is over; postponed: the process stops, or NATS is away."""
WAIT_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30, 300, 3600)
_UNKNOWN: Final = "unknown"


class MessageMetrics:
    """The series of all consumers of one process. Their children are kept: finding one costs as much as counting."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        def gauge(name: str, text: str) -> Gauge:
            return Gauge(f"fluxline_{name}", text, ("durable",), registry=registry)

        self.in_flight = gauge("messages_in_flight", "Messages that are being handled")
        self.pending = gauge("consumer_pending_messages", "Messages that were not delivered to any replica yet")
        self.ack_pending = gauge("consumer_ack_pending_messages", "Messages that were delivered and have not ended")
        self.redelivered = gauge("consumer_redelivered_messages", "Messages that are out for the second time or more")
        self.ended = Counter(
            "fluxline_messages",
            "Deliveries, by how they ended",
            ("durable", "subject", "outcome"),
            registry=registry,
        )
        self.wait = Histogram(
            "fluxline_message_wait_seconds",
            "From a message's storing in the stream until its handling begins",
            ("durable",),
            buckets=WAIT_SECONDS,
            registry=registry,
        )
        self._handled: Tally[str] = Tally()
        self._waits: dict[str, Histogram] = {}
        self._ends: dict[tuple[str, str, str], Counter] = {}

    def announce(self, consumer: Consumer) -> None:
        """Show the consumer's series from the start, those of what should never be among them.

        A rate needs a zero to begin at.
        """
        self.in_flight.labels(consumer.durable).set_function(partial(self._handled.__getitem__, consumer.durable))
        for series in (self.pending, self.ack_pending, self.redelivered):
            series.labels(consumer.durable).set(0)
        self.wait.labels(consumer.durable)
        for subject in consumer.subjects:
            if subject in EVENTS or consumer.stream is not EVENTS_STREAM:
                for outcome in ("succeeded", "given_up"):
                    self.ended.labels(consumer.durable, bounded(consumer, subject), outcome)

    def show(self, durable: str, info: ConsumerInfo) -> None:
        """How the server counts what is left."""
        self.pending.labels(durable).set(info.num_pending or 0)
        self.ack_pending.labels(durable).set(info.num_ack_pending or 0)
        self.redelivered.labels(durable).set(info.num_redelivered or 0)

    def begin(self, consumer: Consumer, *messages: Received) -> None:
        """Deliveries are handled from now on, each until its `end`."""
        durable = consumer.durable
        wait = self._waits.get(durable)
        if wait is None:
            wait = self._waits[durable] = self.wait.labels(durable)
        now, link = datetime.now(UTC), exemplar()
        for message in messages:
            wait.observe(max(0.0, (now - message.stored_at).total_seconds()), link)
        self._handled[durable] += len(messages)

    def end(self, consumer: Consumer, message: Received, outcome: str) -> None:
        """A delivery has ended in one of `OUTCOMES`."""
        self._count(consumer, message.subject, outcome, 1)

    def end_all(self, consumer: Consumer, messages: Sequence[Received], outcome: str) -> None:
        """The deliveries of a batch have ended alike."""
        for subject, count in Tally(message.subject for message in messages).items():
            self._count(consumer, subject, outcome, count)

    def _count(self, consumer: Consumer, subject: str, outcome: str, count: int) -> None:
        self._handled[consumer.durable] -= count
        labels = (consumer.durable, bounded(consumer, subject), outcome)
        ended = self._ends.get(labels)
        if ended is None:
            ended = self._ends[labels] = self.ended.labels(*labels)
        ended.inc(count)


def bounded(consumer: Consumer, subject: str) -> str:
    """The subject as a label: an event's, the pattern of another stream's, or "unknown"."""
    if subject in EVENTS:
        return subject
    return _UNKNOWN if consumer.stream is EVENTS_STREAM else consumer.subjects[0]
