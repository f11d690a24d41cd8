"""An event's way onto the wire and back: JSON body, message id, CloudEvents and trace headers."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Final

from nats.aio.msg import Msg
from opentelemetry import propagate
from pydantic import ValidationError

from fluxline.contracts.catalog import EVENTS
from fluxline.contracts.event import Event
from fluxline.runtime.errors import Unreadable

MSG_ID = "Nats-Msg-Id"
SERVICE_VERSION: Final = "ce-serviceversion"
"""A CloudEvents extension: the version of `fluxline` that the sender runs, which all services are released with."""
VERSION: Final = version("fluxline")
_TOKENS: Final = 9
"""Of the short form of a delivery's reply subject."""
REPLAY = "fluxline-replay"
"""On a replayed dead letter: its sequence in the DLQ."""


@dataclass(frozen=True)
class Received:
    """A message as the stream delivered it. `attempt` counts deliveries from 1, `sequence` is the stream's."""

    subject: str
    body: bytes
    headers: Mapping[str, str]
    sequence: int
    attempt: int
    stored_at: datetime

    @property
    def replay(self) -> int | None:
        """The sequence in the DLQ of the dead letter that this is a replay of."""
        value = self.headers.get(REPLAY, "")
        return int(value) if value.isascii() and value.isdecimal() and len(value) < 19 else None


def received_from(message: Msg) -> Received:
    """The delivery's facts out of nats-py's message, whose own reading of the reply subject takes three times as long.

    `$JS.ACK.<stream>.<consumer>.<delivered>.<sequence>.<…>.<nanoseconds>.<pending>`, with domain and account before
    the stream in the longer form (NATS architecture record ADR-15).
    """
    tokens = message.reply.split(".")
    first = 4 if len(tokens) == _TOKENS else 6
    return Received(
        subject=message.subject,
        body=message.data,
        headers=dict(message.headers or {}),
        sequence=int(tokens[first + 1]),
        attempt=int(tokens[first]),
        stored_at=datetime.fromtimestamp(int(tokens[first + 3]) / 1e9, UTC),
    )


def headers_of(event: Event, source: str) -> dict[str, str]:
    """Headers by CloudEvents' NATS binding (binary mode), plus what JetStream drops duplicates by."""
    return {
        MSG_ID: str(event.event_id),
        "content-type": "application/json",
        "ce-specversion": "1.0",
        "ce-id": str(event.event_id),
        "ce-type": event.subject,
        "ce-source": f"/fluxline/{source}",
        "ce-time": event.occurred_at.isoformat(),
        "ce-subject": str(event.training_id or event.event_id),
        SERVICE_VERSION: VERSION,
    }


def body_of(event: Event) -> bytes:
    """The event as UTF-8 JSON."""
    return event.model_dump_json().encode()


def read_event(subject: str, body: bytes) -> Event:
    """The event in `body`; raises `Unreadable` for an unknown subject or facts that do not fit."""
    event_class = EVENTS.get(subject)
    if event_class is None:
        raise Unreadable(f"No event is known under the subject {subject[:100]!r}")
    try:
        return event_class.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        what = f"{where}: {first['msg']}" if where else first["msg"]
        raise Unreadable(f"The body of {subject} does not fit: {what}"[:500]) from error


def current_trace() -> dict[str, str]:
    """The W3C trace headers of the current context; empty outside a trace."""
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return carrier
