"""What every event is: an id, a time, a subject, and facts. Never bytes, secrets or presigned URLs."""

from datetime import UTC, datetime
from typing import Any, ClassVar, Self
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from fluxline.contracts.errors import Stage
from fluxline.contracts.ids import EventId, derived_event_id, root_event_id


class Facts(BaseModel):
    """A frozen group of facts; fields unknown to this version are ignored, so contracts may grow."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class Event(Facts):
    """Something that happened. The class attribute `subject` is the only spelling of its NATS subject."""

    subject: ClassVar[str]
    stage_of_job: ClassVar[Stage | None] = None
    """The stage that this event tells of, where the subject alone says it."""

    event_id: EventId
    occurred_at: AwareDatetime = Field(default_factory=lambda: datetime.now(UTC))
    training_id: UUID | None = None

    @classmethod
    def caused_by(cls, cause: "Event", *, discriminator: str = "", **facts: Any) -> Self:
        """The event that follows from `cause`; a redelivered handler makes the same id again."""
        facts.setdefault("training_id", cause.training_id)
        return cls(event_id=derived_event_id(cause.event_id, cls.subject, discriminator), **facts)

    @classmethod
    def first(cls, key: str, **facts: Any) -> Self:
        """An event that no other event caused; `key` makes it unique within its subject."""
        return cls(event_id=root_event_id(cls.subject, key), **facts)


class TrainingEvent(Event):
    """An event of one training."""

    training_id: UUID
