"""The one way to NATS: connection settings that survive outages, confirmed publishing, timers, dead letters."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from ssl import SSLContext
from typing import Any, Final

import nats.errors
import nats.js.errors
from faststream.exceptions import IncorrectState
from faststream.nats import NatsBroker, Schedule
from faststream.security import BaseSecurity
from nats.js import JetStreamContext
from nats.js.api import PubAck
from opentelemetry.sdk.trace import TracerProvider

from fluxline.contracts.catalog import DLQ_STREAM, EVENTS_STREAM, TIMERS_STREAM
from fluxline.contracts.errors import FluxlineError
from fluxline.contracts.event import Event
from fluxline.contracts.permissions import inbox_prefix
from fluxline.runtime.envelope import MSG_ID, Received, body_of, current_trace, headers_of
from fluxline.runtime.errors import BrokerUnavailable
from fluxline.runtime.logs import get_logger
from fluxline.runtime.message_spans import MessageSpans
from fluxline.runtime.redaction import redact_text

PUBLISH_TIMEOUT_S = 5.0
_BROKER_ERRORS = (nats.errors.Error, nats.js.errors.Error, ConnectionError, TimeoutError, OSError, IncorrectState)
"""The last one is FastStream's word for: not connected yet, or not any more."""
_TOO_LARGE = (10054, 10097)
"""JetStream's codes for a message, and for headers, above the limit (server/errors.json)."""
HEADERS_OF_CLIENT_BYTES: Final = 1024
"""Room for the headers that FastStream, OpenTelemetry and nats-py add."""
BODY_IN_EVENTS: Final = "dlq-body-in-events"
"""On a dead letter without a body, which was too large for it: the sequence in EVENTS under which it lies."""
_HEADER_NAME = re.compile(r"(?!nats-)[!#$%&'*+.^_`|~0-9a-z-]+", re.I)
_HEADER_OF_LARGE = re.compile(r"dlq-.+|traceparent|nats-msg-id", re.I)

log = get_logger(__name__)


class MessageRefused(FluxlineError):
    """A message is larger than NATS takes; sending it again cannot help."""

    hint = "This is a bug in fluxline, or the server's max_payload is below 2 MB: please report it with the log."


class Bus:
    """One process's connection to NATS, as service `service`. Publishing means: confirmed by the stream.

    `tls` is how servers are verified at tls:// addresses, or those that ask for TLS; the system's way without it.
    `on_lost` is called should the connection ever close for good, which cannot be mended from inside.
    """

    def __init__(
        self,
        service: str,
        nats_url: str,
        tracer_provider: TracerProvider,
        *,
        tls: SSLContext | None = None,
        graceful_timeout_s: float = 15.0,
        on_lost: Callable[[], None] = lambda: None,
    ) -> None:
        self.service = service
        self.stopping = False
        self.spans = MessageSpans(tracer_provider)
        self._on_lost = on_lost
        self.broker = NatsBroker(
            [url.strip() for url in nats_url.split(",")],
            name=f"fluxline-{service}",
            security=BaseSecurity(ssl_context=tls) if tls else None,
            inbox_prefix=inbox_prefix(service),
            connect_timeout=5,
            max_reconnect_attempts=-1,
            reconnect_time_wait=0.5,  # type: ignore[arg-type]  # nats-py takes fractions of a second
            ping_interval=10,
            max_outstanding_pings=2,
            closed_cb=self._on_closed,
            graceful_timeout=graceful_timeout_s,
            apply_types=False,
            logger=None,
        )

    async def _on_closed(self) -> None:
        if not self.stopping:
            log.critical("nats.connection_closed")
            self._on_lost()

    @property
    def jetstream(self) -> JetStreamContext:
        """The JetStream context of the live connection; raises `BrokerUnavailable` before there is one."""
        state = self.broker.config.broker_config.connection_state
        if not state:
            raise BrokerUnavailable("NATS is not connected yet")
        return state.stream

    async def publish(self, event: Event, headers: Mapping[str, str] | None = None) -> None:
        """Publish with the event's id; raises `BrokerUnavailable` unless the stream confirms. Safe to repeat."""
        await self._publish(
            event.subject,
            body_of(event),
            {**headers_of(event, self.service), **(headers or {})},
            EVENTS_STREAM.name,
        )

    async def publish_raw(self, subject: str, body: bytes, headers: Mapping[str, str]) -> PubAck:
        """Publish a stored event as it is; the headers hold its `Nats-Msg-Id`.

        Returns the stream's confirmation (`seq`, `duplicate`). Raises `BrokerUnavailable` unless there is one, and
        `MessageRefused` when there can be none.
        """
        return await self._publish(subject, body, dict(headers), EVENTS_STREAM.name)

    async def schedule(self, timer: str, key: str, at: datetime) -> None:
        """Deliver `key` to `timers.due.<timer>` at `at` (aware); a later call with the same key replaces it."""
        await self._publish(
            f"timers.set.{timer}.{key}",
            key.encode(),
            {},
            TIMERS_STREAM.name,
            schedule=Schedule(time=max(at, datetime.now(UTC)), target=f"timers.due.{timer}"),
        )

    async def wake(self, timer: str, key: str) -> None:
        """Deliver `key` to `timers.due.<timer>` now."""
        await self._publish(f"timers.due.{timer}", key.encode(), {}, TIMERS_STREAM.name)

    async def bury(self, durable: str, message: Received, error: FluxlineError) -> None:
        """Put a message that `durable` gives up on into the DLQ: body and headers as they were, and why.

        A message that leaves no room for the reason stays in EVENTS, and its letter says where. Safe to repeat.
        """
        subject, headers = f"dlq.{durable}", burial_headers(durable, message, error)
        try:
            await publish_as_it_is(self.jetstream, subject, message.body, headers, DLQ_STREAM.name)
        except MessageRefused:
            short = {name: value for name, value in headers.items() if _HEADER_OF_LARGE.fullmatch(name)}
            short |= {BODY_IN_EVENTS: str(message.sequence)}
            await publish_as_it_is(self.jetstream, subject, b"", short, DLQ_STREAM.name)

    async def _publish(self, subject: str, body: bytes, headers: dict[str, str], stream: str, **options: Any) -> PubAck:
        with self.spans.publishing(subject, headers, len(body)):
            _refuse_too_large(self.jetstream, subject, body, headers)
            try:
                return await self.broker.publish(
                    body, subject, headers=headers, stream=stream, timeout=PUBLISH_TIMEOUT_S, **options
                )
            except _BROKER_ERRORS as error:
                raise _as_ours(subject, error) from error


async def publish_as_it_is(
    jetstream: JetStreamContext, subject: str, body: bytes, headers: Mapping[str, str], stream: str
) -> PubAck:
    """Publish with exactly these headers, without a span of its own; raises as `Bus.publish_raw` does."""
    _refuse_too_large(jetstream, subject, body, headers)
    try:
        return await jetstream.publish(subject, body, timeout=PUBLISH_TIMEOUT_S, stream=stream, headers={**headers})
    except _BROKER_ERRORS as error:
        raise _as_ours(subject, error) from error


def burial_headers(durable: str, message: Received, error: FluxlineError) -> dict[str, str]:
    """The headers of a dead letter: the message's own, except those for the server, and why it is buried."""
    headers = {name: value for name, value in message.headers.items() if _HEADER_NAME.fullmatch(name)}
    return headers | {
        MSG_ID: f"{durable}:{message.sequence}",
        "dlq-event-id": message.headers.get(MSG_ID, ""),
        "dlq-subject": message.subject,
        "dlq-sequence": str(message.sequence),
        "dlq-attempts": str(message.attempt),
        "dlq-category": error.category.value,
        "dlq-reason": _header_safe(redact_text(error.message)),
        "dlq-hint": _header_safe(redact_text(error.hint)),
        "dlq-buried-at": datetime.now(UTC).isoformat(),
        **{f"dlq-{name}": value for name, value in current_trace().items() if name == "traceparent"},
    }


def _refuse_too_large(jetstream: JetStreamContext, subject: str, body: bytes, headers: Mapping[str, str]) -> None:
    """Raise `MessageRefused` before the server does: it would end the connection, and nats-py counts no headers."""
    size = len(body) + sum(len(name.encode()) + len(value.encode()) + 4 for name, value in headers.items())
    if size + HEADERS_OF_CLIENT_BYTES > jetstream._nc.max_payload:
        raise MessageRefused(f"{subject} has {size} bytes, which is more than NATS takes")


def _as_ours(subject: str, error: BaseException) -> FluxlineError:
    if isinstance(error, nats.js.errors.APIError) and error.err_code in _TOO_LARGE:
        return MessageRefused(f"{subject} is larger than its stream takes")
    return BrokerUnavailable(f"NATS did not confirm {subject} ({type(error).__name__})")


def _header_safe(text: str) -> str:
    """`text` as one header line: control characters out, at most 500 characters."""
    return "".join(char if char.isprintable() else " " for char in text)[:500]
