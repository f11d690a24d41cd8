"""Who may publish and read what on NATS: each service its own events and its own durables, and nothing else.

A service may also look at JetStream and put back what that has lost, but change and remove nothing there.
The subjects are those of JetStream's API: https://docs.nats.io/reference/reference-protocols/nats_api_reference.
"""

from dataclasses import dataclass
from typing import Final

from fluxline.contracts import catalog as c
from fluxline.contracts import events as e
from fluxline.contracts.event import Event

_API: Final = "$JS.API"
_STAGES: Final = ("stage.>",)
_OUTCOMES_STREAM: Final = f"KV_{c.OUTCOMES_BUCKET}"
_OUTCOMES: Final = (
    f"{_API}.STREAM.MSG.GET.{_OUTCOMES_STREAM}",
    f"$KV.{c.OUTCOMES_BUCKET}.>",
)
_MENDS: Final = (
    f"{_API}.INFO",
    f"{_API}.STREAM.INFO.*",
    f"{_API}.STREAM.CREATE.*",
    f"{_API}.CONSUMER.INFO.*.*",
    f"{_API}.CONSUMER.CREATE.>",
    f"{_API}.CONSUMER.DURABLE.CREATE.>",
)
_FOLLOWS_EVENTS: Final = (
    f"{_API}.CONSUMER.MSG.NEXT.{c.EVENTS_STREAM.name}.*",
    f"{_API}.CONSUMER.DELETE.{c.EVENTS_STREAM.name}.*",
)
"""What a consumer of its own needs, whose name nobody knows before."""
_DEAD_LETTERS: Final = (
    *(f"{_API}.{call}.{c.DLQ_STREAM.name}" for call in ("DIRECT.GET", "STREAM.MSG.GET", "STREAM.MSG.DELETE")),
    f"{_API}.DIRECT.GET.{c.DLQ_STREAM.name}.>",
    *(subject for subject in c.EVENTS if not subject.startswith("stage.")),
)
"""What looking at dead letters, dropping them and replaying them needs: any event may be one of theirs."""
_AUDIT: Final = tuple(f"{_API}.{call}.{c.EVENTS_STREAM.name}" for call in ("DIRECT.GET", "STREAM.MSG.GET"))
"""What comparing an outbox with the stream needs."""


@dataclass(frozen=True)
class Permissions:
    """Subjects that a user may publish to; it reads from its own inbox, and from nowhere else."""

    publish: tuple[str, ...]
    inbox: str


def inbox_prefix(service: str) -> str:
    """Where the answers to a service go: nobody else may listen there."""
    return f"_INBOX_{service}"


def inbox_of_pulls(service: str) -> bytes:
    """The same, as nats-py wants it from who subscribes to a consumer."""
    return f"{inbox_prefix(service)}.".encode()


def _service(name: str, consumers: tuple[c.Consumer, ...], emits: tuple[type[Event], ...], *more: str) -> Permissions:
    """A service that reads these consumers and emits these events."""
    reads = [
        subject
        for consumer in consumers
        for subject in (
            f"{_API}.CONSUMER.MSG.NEXT.{consumer.stream.name}.{consumer.durable}",
            f"$JS.ACK.{consumer.stream.name}.{consumer.durable}.>",
            f"dlq.{consumer.durable}",
        )
    ]
    publish = (
        *(event.subject for event in emits),
        f"logs.{name}",
        *reads,
        *_MENDS,
        *more,
    )
    return Permissions(tuple(dict.fromkeys(publish)), inbox_prefix(name))


PERMISSIONS: Final[dict[str, Permissions]] = {
    "gateway": _service(
        "gateway",
        (c.GATEWAY, c.GATEWAY_ADVISORIES),
        (
            e.TrainingRequested,
            e.TrainingCancelRequested,
            e.TrainingRetryRequested,
            e.TrainingDeleteRequested,
            e.GenerationRequested,
            e.GenerationCancelRequested,
            e.ModelCardRequested,
            e.TrainingFailed,  # whom the watchdog finds past its deadline, and whose service dies of it
            e.GenerationFailed,
            e.TrainingCanceled,
            e.ZipCreated,  # the watchdog sends again what may have been lost
            e.TrainingSucceeded,
        ),
        *_STAGES,
        *_AUDIT,
        *_DEAD_LETTERS,  # for operators, who come with a key of the scope admin
        "dlq.*",  # of services that died on every delivery
        "timers.due.trainer",  # a webhook of the provider wakes the watcher
        *_FOLLOWS_EVENTS,
    ),
    "zipper": _service(
        "zipper",
        (c.ZIPPER, c.ZIPPER_CLEANUP),
        (e.ZipProgressed, e.ZipCreated, e.TrainingFailed),
        *_STAGES,
        *_OUTCOMES,
    ),
    "trainer": _service(
        "trainer",
        (c.TRAINER, c.TRAINER_CLEANUP, c.TRAINER_TIMERS),
        (e.TrainingStarted, e.TrainingProgressed, e.TrainingSucceeded, e.TrainingFailed, e.TrainingCanceled),
        *_STAGES,
        *_AUDIT,
        *_OUTCOMES,
        "timers.set.trainer.*",
        "timers.due.trainer",
    ),
    "publisher": _service(
        "publisher",
        (c.PUBLISHER, c.PUBLISHER_CARDS, c.PUBLISHER_CLEANUP),
        (e.ModelProgressed, e.ModelPublished, e.ModelCardUpdated, e.ModelCardFailed, e.TrainingFailed),
        *_STAGES,
        *_OUTCOMES,
    ),
    "generator": _service(
        "generator",
        (c.GENERATOR, c.GENERATOR_CANCEL, c.GENERATOR_CLEANUP),
        (e.GenerationSucceeded, e.GenerationFailed, e.GenerationCanceled, e.TrainingFailed),
        *_STAGES,
    ),
    "collector": _service(
        "collector",
        (c.COLLECTOR, c.COLLECTOR_LOGS, c.COLLECTOR_TRACES),
        (),
        f"{_API}.STREAM.MSG.GET.*",
        f"{_API}.DIRECT.GET.*",
        *_FOLLOWS_EVENTS,
    ),
}
"""One user for each service that talks to NATS."""
OPERATOR: Final = "operator"
"""The user of provisioning, of `fluxline dlq` and of persons: it may do everything."""
