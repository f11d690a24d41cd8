"""Messages that a service never got to the end of: it died or hung on every delivery, until the server gave up.

Nobody but the server's advisory tells of them. Each one becomes a dead letter, and the job that it belongs to fails,
so that nothing is silently stuck. Everything has an id that follows from the message: a repeat changes nothing.
"""

from datetime import UTC, datetime
from typing import ClassVar, Final

import nats.errors
import nats.js.errors
from nats.js.api import RawStreamMsg
from prometheus_client import CollectorRegistry, Counter
from pydantic import BaseModel, Field, ValidationError

from fluxline.contracts.catalog import CONSUMERS, EVENTS_STREAM
from fluxline.contracts.errors import ErrorCategory, FluxlineError, Stage
from fluxline.contracts.event import Event
from fluxline.contracts.events import TrainingRetryRequested
from fluxline.runtime.bus import Bus
from fluxline.runtime.envelope import Received, read_event
from fluxline.runtime.errors import BrokerUnavailable, Unreadable
from fluxline.runtime.handlers import generation_failed, training_failed
from fluxline.runtime.logs import get_logger
from fluxline.runtime.stages import StageAttempt
from fluxline.runtime.telemetry import continued_trace
from fluxline_gateway.trainings.work_queues import CONSUMER_OF

MAX_ATTEMPTS: Final = 20
"""After so many failures an advisory is left aside, loudly; it stays in its stream."""
_OURS: Final = frozenset(consumer.durable for consumer in CONSUMERS if consumer.stream is EVENTS_STREAM)
_STAGE_OF: Final = {consumer.durable: stage for stage, consumer in CONSUMER_OF.items()}

log = get_logger(__name__)


class DeliveriesExhausted(FluxlineError):
    """The service died or hung each time that it was given this message."""

    category: ClassVar[ErrorCategory] = ErrorCategory.INTERNAL
    hint = "Look at the service's log for why it ends; once that is mended, replay the dead letter or retry the job."


class Advisory(BaseModel):
    """What the server says (`io.nats.jetstream.advisory.v1.max_deliver`, NATS architecture record ADR-15)."""

    stream: str
    consumer: str
    stream_seq: int = Field(ge=1)
    deliveries: int = Field(ge=1)


class Advisories:
    """Turns advisories into dead letters and failures."""

    def __init__(self, bus: Bus, registry: CollectorRegistry) -> None:
        self.bus = bus
        self.dead_letters = Counter(
            "fluxline_dead_letters",
            "Dead letters of messages whose deliveries were used up",
            ("durable",),
            registry=registry,
        )

    async def handle(self, batch: list[Received]) -> None:
        """Settle every advisory of the batch; raises after the last one if any has to be given again."""
        failed: Exception | None = None
        for message in batch:
            try:
                await self._settle(message)
            except Exception as error:
                log.exception("advisory.failed", sequence=message.sequence, attempt=message.attempt)
                if isinstance(error, BrokerUnavailable) or message.attempt < MAX_ATTEMPTS:
                    failed = error
        if failed:
            raise failed

    async def _settle(self, message: Received) -> None:
        try:
            advisory = Advisory.model_validate_json(message.body)
        except ValidationError:
            log.error("advisory.unreadable", sequence=message.sequence)
            return
        if advisory.stream != EVENTS_STREAM.name or advisory.consumer not in _OURS:
            log.info("advisory.ignored", stream=advisory.stream, consumer=advisory.consumer)
            return
        if undone := await self._fetch(advisory):
            await self._give_up(advisory.consumer, undone)

    async def _fetch(self, advisory: Advisory) -> Received | None:
        """The message that was given up; None when the stream no longer has it."""
        try:
            found = await self.bus.jetstream.get_msg(advisory.stream, advisory.stream_seq)
        except nats.js.errors.NotFoundError:
            log.error("advisory.message_gone", consumer=advisory.consumer, sequence=advisory.stream_seq)
            return None
        except (nats.errors.Error, nats.js.errors.Error, TimeoutError) as error:
            raise BrokerUnavailable(f"NATS did not answer ({type(error).__name__})") from error
        return _received(found, advisory)

    async def _give_up(self, durable: str, message: Received) -> None:
        """First the end of the job, then the dead letter: what is buried has been told."""
        error = DeliveriesExhausted(deliveries=message.attempt)
        with continued_trace(dict(message.headers)):
            for event in _ends(durable, message, error):
                await self.bus.publish(event)
            await self.bus.bury(durable, message, error)
        self.dead_letters.labels(durable).inc()
        log.error("message.buried", durable=durable, subject=message.subject, sequence=message.sequence)


def _received(found: RawStreamMsg, advisory: Advisory) -> Received:
    return Received(
        subject=found.subject or "",
        body=found.data or b"",
        headers=dict(found.headers or {}),
        sequence=advisory.stream_seq,
        attempt=advisory.deliveries,
        stored_at=found.time or datetime.now(UTC),
    )


def _ends(durable: str, message: Received, error: FluxlineError) -> list[Event]:
    """The end of the attempt and of its job; nothing where the message was not the work of a stage."""
    stage = _STAGE_OF.get(durable)
    try:
        event = read_event(message.subject, message.body)
    except Unreadable:
        return []
    if stage is None or (isinstance(event, TrainingRetryRequested) and event.from_stage is not stage):
        return []
    attempt = StageAttempt(stage, durable, event, message.attempt, replay=message.replay)
    end = generation_failed(attempt, error) if stage is Stage.IMAGE_GENERATION else training_failed(attempt, error)
    return [attempt.failed(error), *filter(None, (end,))]
