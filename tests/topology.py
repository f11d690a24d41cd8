"""Who talks to whom, and what each service tells of itself: data, held to the contracts and to the running system.

What can be derived is: consumers are those of the catalog, services those of the permissions. A new event has to be
given a producer here, and either happens in the job that the tests run or is named in `UNSEEN`.
"""

from typing import Final, NamedTuple

from fluxline.contracts.catalog import CONSUMERS, EVENTS, EVENTS_STREAM, Consumer
from fluxline.contracts.permissions import PERMISSIONS

PRODUCERS: Final = {
    "training.requested": "gateway",
    "training.cancel_requested": "gateway",
    "training.retry_requested": "gateway",
    "training.delete_requested": "gateway",
    "generation.requested": "gateway",
    "generation.cancel_requested": "gateway",
    "model.card_requested": "gateway",
    "zip.progressed": "zipper",
    "zip.created": "zipper",
    "training.started": "trainer",
    "training.progressed": "trainer",
    "training.succeeded": "trainer",
    "training.failed": "trainer",
    "training.canceled": "trainer",
    "model.progressed": "publisher",
    "model.published": "publisher",
    "model.card_updated": "publisher",
    "model.card_failed": "publisher",
    "generation.succeeded": "generator",
    "generation.failed": "generator",
    "generation.canceled": "generator",
    "stage.started": "zipper",
    "stage.succeeded": "zipper",
    "stage.retried": "trainer",
    "stage.failed": "trainer",
}
"""Who says it in the job that the tests run; others may, by their permissions."""
UNSEEN: Final = {
    "generation.cancel_requested": "the order to stop an image, which takes a moment in the sandbox",
    "generation.canceled": "the same",
    "generation.failed": "needs a provider that fails; the generator's own tests have one",
    "model.card_failed": "needs a hub that fails; the publisher's own tests have one",
    "stage.retried": "needs a provider that fails for a while",
    "training.canceled": "ends a job before it has shown everything; the tests of faults have it",
    "training.cancel_requested": "the same",
}
CALLS: Final = (("studio", "gateway"), ("gateway", "collector"))
"""Calls by HTTP between services; the caller's span is the parent of the one that is called."""
STORAGE: Final = ("gateway", "zipper", "trainer", "publisher", "generator")
PROVIDERS: Final = {"trainer": "replicate", "publisher": "huggingface", "generator": "replicate"}
DATABASES: Final = ("gateway", "trainer", "generator", "collector")
"""Services whose requests or handlers wait for statements."""
SIGNALS: Final = ("traces", "metrics", "logs")
SERVICES: Final = (*PERMISSIONS, "studio")
MATRIX: Final = dict.fromkeys(SERVICES, SIGNALS)
"""Every service has every signal."""


class Edge(NamedTuple):
    """`producer` publishes `subject`, which the service `consumer` reads through its durable."""

    producer: str
    subject: str
    consumer: str
    durable: str


def service_of(durable: str) -> str:
    """Whose durable it is: who may bury its messages."""
    [service] = [name for name, may in PERMISSIONS.items() if f"dlq.{durable}" in may.publish]
    return service


def reads(consumer: Consumer, subject: str) -> bool:
    """Whether the subject is one of the consumer's."""
    heads = (pattern.removesuffix(">") for pattern in consumer.subjects)
    return any(subject == head or (head.endswith(".") and subject.startswith(head)) for head in heads)


EDGES: Final = tuple(
    Edge(PRODUCERS.get(subject, ""), subject, service_of(consumer.durable), consumer.durable)
    for consumer in CONSUMERS
    if consumer.stream is EVENTS_STREAM
    for subject in EVENTS
    if reads(consumer, subject)
)
