"""Which events there are, on which streams they travel, and who consumes them.

Provisioning makes the servers equal to this page; nothing else declares a stream or a consumer.
Times are seconds, sizes are bytes.
"""

from dataclasses import dataclass
from typing import Final

from fluxline.contracts import events as e
from fluxline.contracts.event import Event

EVENTS: Final[dict[str, type[Event]]] = {
    event.subject: event
    for event in (
        e.TrainingRequested,
        e.ZipProgressed,
        e.ZipCreated,
        e.TrainingStarted,
        e.TrainingProgressed,
        e.TrainingSucceeded,
        e.ModelProgressed,
        e.ModelPublished,
        e.ModelCardRequested,
        e.ModelCardUpdated,
        e.ModelCardFailed,
        e.TrainingFailed,
        e.TrainingCancelRequested,
        e.TrainingCanceled,
        e.TrainingRetryRequested,
        e.TrainingDeleteRequested,
        e.StageStarted,
        e.StageSucceeded,
        e.StageRetried,
        e.StageFailed,
        e.GenerationRequested,
        e.GenerationSucceeded,
        e.GenerationFailed,
        e.GenerationCancelRequested,
        e.GenerationCanceled,
    )
}

DAY_S: Final = 86_400.0


@dataclass(frozen=True)
class Stream:
    """A JetStream stream, stored in files. `schedules` allows messages that are delivered later."""

    name: str
    subjects: tuple[str, ...]
    max_age_s: float
    max_bytes: int
    duplicate_window_s: float = 120.0
    schedules: bool = False
    max_msg_bytes: int = 1024 * 1024


EVENTS_STREAM: Final = Stream(
    "EVENTS",
    ("training.>", "zip.>", "model.>", "stage.>", "generation.>"),
    max_age_s=30 * DAY_S,
    max_bytes=8 * 1024**3,
    duplicate_window_s=DAY_S,
)
DLQ_STREAM: Final = Stream(  # its messages are those of EVENTS, and the reason why they are here
    "DLQ",
    ("dlq.>",),
    max_age_s=90 * DAY_S,
    max_bytes=1024**3,
    duplicate_window_s=DAY_S,
    max_msg_bytes=EVENTS_STREAM.max_msg_bytes + 64 * 1024,
)
TIMERS_STREAM: Final = Stream("TIMERS", ("timers.>",), max_age_s=7 * DAY_S, max_bytes=1024**3, schedules=True)
ADVISORIES_STREAM: Final = Stream(
    "ADVISORIES",
    ("$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.>",),
    max_age_s=7 * DAY_S,
    max_bytes=64 * 1024**2,
)
LOGS_STREAM: Final = Stream("LOGS", ("logs.>",), max_age_s=2 * DAY_S, max_bytes=256 * 1024**2)
STREAMS: Final = (EVENTS_STREAM, DLQ_STREAM, TIMERS_STREAM, ADVISORIES_STREAM, LOGS_STREAM)


@dataclass(frozen=True)
class Consumer:
    """A durable pull consumer: `subjects` of `stream` that the service must handle at least once.

    `ack_wait_s` is how soon a message of a killed replica comes back; a running handler renews it.
    `batch` is how many messages one process handles at the same time.
    """

    durable: str
    subjects: tuple[str, ...]
    stream: Stream = EVENTS_STREAM
    ack_wait_s: float = 15.0
    max_deliver: int = 20
    max_ack_pending: int = 1000
    batch: int = 1


ZIPPER: Final = Consumer("zipper", (e.TrainingRequested.subject, e.TrainingRetryRequested.subject))
ZIPPER_CLEANUP: Final = Consumer(
    "zipper-cleanup",
    (e.ModelPublished.subject, e.TrainingCanceled.subject, e.TrainingDeleteRequested.subject),
    batch=16,
)
TRAINER: Final = Consumer(
    "trainer",
    (e.ZipCreated.subject, e.TrainingRetryRequested.subject, e.TrainingCancelRequested.subject),
    batch=16,
)
TRAINER_CLEANUP: Final = Consumer(
    "trainer-cleanup",
    (e.ModelPublished.subject, e.TrainingCanceled.subject, e.TrainingDeleteRequested.subject),
    batch=16,
)
TRAINER_TIMERS: Final = Consumer("trainer-timers", ("timers.due.trainer",), stream=TIMERS_STREAM, batch=32)
PUBLISHER: Final = Consumer("publisher", (e.TrainingSucceeded.subject, e.TrainingRetryRequested.subject), batch=2)
PUBLISHER_CARDS: Final = Consumer("publisher-cards", (e.ModelCardRequested.subject,), batch=2)
PUBLISHER_CLEANUP: Final = Consumer(
    "publisher-cleanup", (e.TrainingCanceled.subject, e.TrainingDeleteRequested.subject), batch=4
)
GENERATOR: Final = Consumer("generator", (e.GenerationRequested.subject,), batch=16)
GENERATOR_CANCEL: Final = Consumer("generator-cancel", (e.GenerationCancelRequested.subject,), batch=16)
GENERATOR_CLEANUP: Final = Consumer("generator-cleanup", (e.TrainingDeleteRequested.subject,), batch=4)
GATEWAY: Final = Consumer("gateway", EVENTS_STREAM.subjects, max_deliver=-1, batch=200, max_ack_pending=2000)
GATEWAY_ADVISORIES: Final = Consumer(
    "gateway-advisories", ADVISORIES_STREAM.subjects, stream=ADVISORIES_STREAM, max_deliver=-1, batch=32
)
COLLECTOR: Final = Consumer("collector", EVENTS_STREAM.subjects, max_deliver=-1, max_ack_pending=20_000, batch=500)
COLLECTOR_LOGS: Final = Consumer(
    "collector-logs", LOGS_STREAM.subjects, stream=LOGS_STREAM, max_deliver=-1, max_ack_pending=200, batch=20
)
COLLECTOR_TRACES: Final = Consumer("collector-traces", (e.TrainingFailed.subject,), max_deliver=-1, max_ack_pending=100)
"""Whoever failed is kept whole: of a trace that was not sampled, the collector writes what it knows."""
CONSUMERS: Final = (
    ZIPPER,
    ZIPPER_CLEANUP,
    TRAINER,
    TRAINER_CLEANUP,
    TRAINER_TIMERS,
    PUBLISHER,
    PUBLISHER_CARDS,
    PUBLISHER_CLEANUP,
    GENERATOR,
    GENERATOR_CANCEL,
    GENERATOR_CLEANUP,
    GATEWAY,
    GATEWAY_ADVISORIES,
    COLLECTOR,
    COLLECTOR_LOGS,
    COLLECTOR_TRACES,
)
OUTCOMES_BUCKET: Final = "outcomes"
"""The key-value bucket in which cancelation and publication compete; see `outcomes`."""
OUTCOMES_KEEP_S: Final = 90 * DAY_S
