"""Dead letters and the health of services as the API shows them."""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

from pydantic import BaseModel, ConfigDict
from pydantic.config import JsonDict

from fluxline_gateway import examples

_LETTER: Final[JsonDict] = {
    "number": 17,
    "durable": "trainer",
    "subject": "zip.created",
    "event_id": "0b8f6f0e-0000-4000-8000-000000000001",
    "training_id": examples.TRAINING_ID,
    "category": "internal",
    "reason": "KeyError: 'weights'",
    "hint": "Replay it once the cause is mended.",
    "attempts": 5,
    "buried_at": examples.CREATED_AT,
    "trace_id": examples.TRACE_ID,
}
_CONSUMER: Final[JsonDict] = {
    "durable": "trainer",
    "stream": "EVENTS",
    "listening": True,
    "pending": 3,
    "in_flight": 1,
    "redelivered": 0,
    "last_active": examples.UPDATED_AT,
}
_SERVICE: Final[JsonDict] = {"service": "trainer", "listening": True, "last_active": examples.UPDATED_AT}


class DeadLetterOut(BaseModel):
    """A message that the consumer `durable` gave up on after so many `attempts`, and why."""

    model_config = ConfigDict(json_schema_extra={"examples": [_LETTER]})

    number: int
    durable: str
    subject: str
    event_id: str
    training_id: UUID | None
    category: str
    reason: str
    hint: str
    attempts: int
    buried_at: datetime
    trace_id: str | None


class DeadLetterDetail(DeadLetterOut):
    """A dead letter with its message; `body` is null where the stream does not hold it any more."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                _LETTER | {"headers": {"ce-type": "zip.created"}, "body": {"training_id": examples.TRAINING_ID}}
            ]
        }
    )

    headers: dict[str, str]
    body: Any


class DeadLetterReplay(BaseModel):
    """The id that the message has in the stream of events now; `repeated` where an earlier replay had put it there."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"number": 17, "event": str(examples.SEQUENCE), "repeated": False}]}
    )

    number: int
    event: str
    repeated: bool


class ConsumerHealth(BaseModel):
    """How one consumer stands: messages that wait, that are being handled, and that are being tried again.

    `listening` is whether a process asks for messages or has some in hand; `last_active` is the last delivery.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [_CONSUMER]})

    durable: str
    stream: str
    listening: bool
    pending: int
    in_flight: int
    redelivered: int
    last_active: datetime | None


class ServiceHealth(BaseModel):
    """A service by its consumers; it listens when all of them do."""

    model_config = ConfigDict(json_schema_extra={"examples": [_SERVICE | {"consumers": [_CONSUMER]}]})

    service: str
    listening: bool
    last_active: datetime | None
    consumers: list[ConsumerHealth]


class SystemHealth(BaseModel):
    """Every service that reads events, by its name."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"services": [_SERVICE | {"consumers": [_CONSUMER]}]}]})

    services: list[ServiceHealth]
