"""The one way to NATS: connection settings that survive outages, confirmed publishing, timers, dead letters."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import nats.errors
import nats.js.errors
from faststream.exceptions import IncorrectState
from faststream.nats import NatsBroker, Schedule
from faststream.nats.opentelemetry import NatsTelemetryMiddleware
from nats.js import JetStreamContext
from opentelemetry.sdk.trace import TracerProvider

from fluxline.contracts.catalog import DLQ_STREAM, EVENTS_STREAM, TIMERS_STREAM
from fluxline.contracts.errors import FluxlineError
from fluxline.contracts.event import Event
from fluxline.runtime.envelope import MSG_ID, Received, body_of, headers_of
from fluxline.runtime.errors import BrokerUnavailable
from fluxline.runtime.logs import get_logger

PUBLISH_TIMEOUT_S = 5.0
_BROKER_ERRORS = (nats.errors.Error, nats.js.errors.Error, ConnectionError, TimeoutError, OSError, IncorrectState)
"""The last one is FastStream's word for: not connected yet, or not any more."""

log = get_logger(__name__)


class Bus:
    """One process's connection to NATS, as service `service`. Publishing means: confirmed by the stream.

    `on_lost` is called should the connection ever close for good, which cannot be mended from inside.
    """

    def __init__(
        self,
        service: str,
        nats_url: str,
        tracer_provider: TracerProvider,
        *,
        graceful_timeout_s: float = 15.0,
        on_lost: Callable[[], None] = lambda: None,
    ) -> None:
        self.service = service
        self.stopping = False
        self._on_lost = on_lost
        self.broker = NatsBroker(
            [url.strip() for url in nats_url.split(",")],
            name=f"fluxline-{service}",
            connect_timeout=5,
            max_reconnect_attempts=-1,
            reconnect_time_wait=0.5,  # type: ignore[arg-type]  # nats-py takes fractions of a second
            ping_interval=10,
            max_outstanding_pings=2,
            closed_cb=self._on_closed,
            graceful_timeout=graceful_timeout_s,
            apply_types=False,
            middlewares=[NatsTelemetryMiddleware(tracer_provider=tracer_provider)],
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

    async def publish_raw(self, subject: str, body: bytes, headers: Mapping[str, str]) -> None:
        """Publish a stored event as it is (outbox, replay); the headers hold its `Nats-Msg-Id`."""
        await self._publish(subject, body, dict(headers), EVENTS_STREAM.name)

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
        """Put a message that `durable` gives up on into the DLQ: body and headers as they were, and why."""
        headers = {name: value for name, value in message.headers.items() if name != MSG_ID}
        headers |= {
            MSG_ID: f"{durable}:{message.sequence}",
            "dlq-event-id": message.headers.get(MSG_ID, ""),
            "dlq-subject": message.subject,
            "dlq-sequence": str(message.sequence),
            "dlq-attempts": str(message.attempt),
            "dlq-category": error.category.value,
            "dlq-reason": _header_safe(error.message),
            "dlq-buried-at": datetime.now(UTC).isoformat(),
        }
        await self._publish(f"dlq.{durable}", message.body, headers, DLQ_STREAM.name)

    async def _publish(self, subject: str, body: bytes, headers: dict[str, str], stream: str, **options: Any) -> None:
        try:
            await self.broker.publish(
                body, subject, headers=headers, stream=stream, timeout=PUBLISH_TIMEOUT_S, **options
            )
        except _BROKER_ERRORS as error:
            raise BrokerUnavailable(f"NATS did not confirm {subject} ({type(error).__name__})") from error


def _header_safe(text: str) -> str:
    """`text` as one header line: control characters out, at most 500 characters."""
    return "".join(char if char.isprintable() else " " for char in text)[:500]
