"""Identifiers: their types, and how an event's id follows from its cause."""

from typing import Annotated, NewType
from uuid import NAMESPACE_URL, UUID, uuid5

from pydantic import StringConstraints

TrainingId = NewType("TrainingId", UUID)
GenerationId = NewType("GenerationId", UUID)
ModelId = NewType("ModelId", UUID)
EventId = NewType("EventId", UUID)

OwnerName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
"""Who something belongs to; also a folder name in storage."""
StorageKey = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$", max_length=512)]
"""Where an object lies in storage, without bucket or host."""
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]

_ROOT = uuid5(NAMESPACE_URL, "https://fluxline.dev/events")


def derived_event_id(cause: UUID, subject: str, discriminator: str = "") -> EventId:
    """The id of the event that `cause` leads to: the same on every redelivery, so the stream drops repeats.

    `discriminator` tells apart several events of one subject with one cause (the percentage, the attempt).
    Formula: RFC 9562 version 5 of "subject#discriminator" in the cause's namespace.
    """
    return EventId(uuid5(cause, f"{subject}#{discriminator}"))


def root_event_id(subject: str, key: str) -> EventId:
    """The id of an event without a causing event, from what makes it unique (a training id, a key)."""
    return EventId(uuid5(_ROOT, f"{subject}#{key}"))


def model_id_of(training_id: UUID) -> ModelId:
    """A training yields one model, however often it is published."""
    return ModelId(uuid5(training_id, "model"))
