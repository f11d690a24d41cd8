"""The runtime around handlers: one message in, one outcome, nothing lost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple

import nats.errors
from faststream import AckPolicy
from faststream.nats import JStream, NatsMessage, PullSub
from opentelemetry import trace
from structlog.contextvars import bound_contextvars

from fluxline.contracts.errors import FluxlineError, Stage
from fluxline.contracts.event import Event
from fluxline.contracts.permissions import inbox_of_pulls
from fluxline.runtime.bus import Bus
from fluxline.runtime.cancelation import raise_if_canceled
from fluxline.runtime.envelope import Received, read_event, received_from
from fluxline.runtime.errors import BrokerUnavailable, DeadlineExceeded, Unreadable, as_fluxline_error
from fluxline.runtime.exemplars import exemplar
from fluxline.runtime.handlers import Delivery, Handlers, JobOver, Result, Route
from fluxline.runtime.logs import get_logger
from fluxline.runtime.metrics import Metrics
from fluxline.runtime.policy import GiveUp, Retry
from fluxline.runtime.spans import fail
from fluxline.runtime.stages import StageAttempt, provider_ids_of

log = get_logger(__name__)

FETCH_TIMEOUT_S = 5.0
DRAIN_NAK_DELAY_S = 0.1
OUTAGE_POLL_S = 1.0
_LOST_ACK = (nats.errors.Error, ConnectionError, TimeoutError)
"""An acknowledgement that could not be sent: the message comes again, which every handler bears."""


class Settled(NamedTuple):
    """How a delivery ended, in one of `OUTCOMES`; with a delay, the message comes again after so many seconds."""

    outcome: str
    delay_s: float | None = None


class Subscription:
    """Binds one `Handlers` to its durable consumer, which provisioning has made."""

    def __init__(self, bus: Bus, handlers: Handlers, metrics: Metrics) -> None:
        self.bus = bus
        self.handlers = handlers
        self.consumer = handlers.consumer
        self.metrics = metrics

    def register(self) -> None:
        """Subscribe at the broker; messages flow once the broker starts."""
        subscriber = self.bus.broker.subscriber(
            self.consumer.subjects[0],
            durable=self.consumer.durable,
            stream=JStream(self.consumer.stream.name, declare=False),
            pull_sub=PullSub(batch_size=self.consumer.batch, timeout=FETCH_TIMEOUT_S),
            inbox_prefix=inbox_of_pulls(self.bus.service),
            ack_policy=AckPolicy.MANUAL,
            decoder=_whole_message,
            no_reply=True,
        )
        subscriber(self.process)

    async def process(self, message: NatsMessage) -> None:
        """Handle one delivery to its end: acknowledged, delayed for another attempt, or buried."""
        received = received_from(message.raw_message)
        with self.bus.spans.processing(self.consumer, received) as span:
            settled = await self._handle(message, received)
            span.set_attribute("fluxline.outcome", settled.outcome)
        if settled.outcome == "postponed":
            return
        delay_s = settled.delay_s
        with suppress(*_LOST_ACK):
            await (message.ack() if delay_s is None else message.nack(delay=delay_s))

    async def _handle(self, message: NatsMessage, received: Received) -> Settled:
        """Everything but the acknowledgement."""
        settled = Settled("postponed")
        self.metrics.messages.begin(self.consumer, received)
        try:
            async with _heartbeat(message, self.consumer.ack_wait_s / 3):
                settled = await self._settle(received)
        except asyncio.CancelledError:
            with suppress(Exception):
                await message.nack(delay=DRAIN_NAK_DELAY_S)
            raise
        except BrokerUnavailable as error:
            log.warning("message.left_to_redelivery", durable=self.consumer.durable, reason=error.message)
        finally:
            self.metrics.messages.end(self.consumer, received, settled.outcome)
        return settled

    async def _settle(self, received: Received) -> Settled:
        """Work on the message, to the end of this delivery."""
        try:
            event = read_event(received.subject, received.body)
            route = self.handlers.routes[event.subject]
        except (Unreadable, KeyError) as error:
            await self.bus.bury(self.consumer.durable, received, as_fluxline_error(error))
            log.error("message.buried", durable=self.consumer.durable, subject=received.subject)
            return Settled("unreadable")
        with bound_contextvars(**_log_context(event, route.stage, received)):
            if self.handlers.is_over and (over := await self.handlers.is_over(event)):
                await self._drop(route.stage, event, received, over)
                return Settled("dropped")
            return await self._attempt(route, event, received)

    async def _attempt(self, route: Route, event: Event, received: Received) -> Settled:
        attempt = await self._begin(route.stage, event, received) if route.stage else None
        try:
            if route.stage:
                trace.get_current_span().set_attribute("fluxline.stage", route.stage.value)
            result = await self._run_through_outages(route, event, received)
            await self._publish_all(result)
        except JobOver as over:
            log.info("attempt.over", done=over.done)
            if attempt and over.done:
                await self.bus.publish(attempt.succeeded())
            return Settled("dropped")
        except Exception as error:
            log.warning("attempt.failed", exc_info=not isinstance(error, FluxlineError), error=str(error))
            return await self._after_failure(route, received, attempt, self._as_ours(error))
        if attempt:
            await self.bus.publish(attempt.succeeded(provider_ids_of(result)))
            log.info("attempt.succeeded", duration_ms=attempt.duration_ms)
            self._observe(attempt, "succeeded")
        return Settled("succeeded")

    async def _drop(self, stage: Stage | None, event: Event, received: Received, over: JobOver) -> None:
        """No attempt; where the work was done, the attempt before was the one that did it."""
        log.info("message.over", done=over.done)
        if stage and over.done and received.attempt > 1:
            before = StageAttempt(stage, self.bus.service, event, received.attempt - 1, replay=received.replay)
            await self.bus.publish(before.succeeded())

    async def _begin(self, stage: Stage, event: Event, received: Received) -> StageAttempt:
        """Say that the attempt begins, and that the one before has ended, if that has not been said."""
        number, replay = received.attempt, received.replay
        if number > 1:
            await self.bus.publish(StageAttempt(stage, self.bus.service, event, number - 1, replay=replay).cut_off())
        attempt = StageAttempt(stage, self.bus.service, event, number, replay=replay)
        await self.bus.publish(attempt.started())
        log.info("attempt.started")
        return attempt

    async def _run_through_outages(self, route: Route, event: Event, received: Received) -> Result:
        """Run the handler; while a server of our own is away, wait for it and run the handler anew."""
        while True:
            try:
                return await self._run(route, event, received)
            except Exception as error:
                ours = self._as_ours(error)
                if not ours.outage:
                    raise
                log.warning("attempt.waiting", error=ours.message)
                await asyncio.sleep(OUTAGE_POLL_S)

    def _as_ours(self, error: Exception) -> FluxlineError:
        return as_fluxline_error(error, self.handlers.translators)

    async def _run(self, route: Route, event: Event, received: Received) -> Result:
        try:
            async with asyncio.timeout(self.handlers.deadline_s) as deadline:
                return await route.handle(event, Delivery(received, self.bus.publish))
        except TimeoutError as error:
            if deadline.expired():
                raise DeadlineExceeded(f"The work took longer than {self.handlers.deadline_s:.0f} s") from error
            raise

    async def _publish_all(self, result: Result) -> None:
        for event in [result] if isinstance(result, Event) else result or ():
            await self.bus.publish(event)

    async def _after_failure(
        self,
        route: Route,
        received: Received,
        attempt: StageAttempt | None,
        error: FluxlineError,
    ) -> Settled:
        fail(trace.get_current_span(), error, error.category.value)
        outcome = self.handlers.policy.decide(error, received.attempt)
        if isinstance(outcome, Retry):
            if attempt:
                await self.bus.publish(attempt.retried(error, outcome.delay_s))
                self._observe(attempt, "retried", error)
            return Settled("retried", outcome.delay_s)
        await self._give_up(route, received, attempt, error, outcome)
        return Settled("given_up")

    async def _give_up(
        self,
        route: Route,
        received: Received,
        attempt: StageAttempt | None,
        error: FluxlineError,
        outcome: GiveUp,
    ) -> None:
        log.error("attempt.given_up", category=error.category, error=error.message, exhausted=outcome.exhausted)
        if attempt:
            await self.bus.publish(attempt.failed(error))
            self._observe(attempt, "failed", error)
            if end := route.on_give_up(attempt, error):
                await self.bus.publish(end)
        if not error.category.is_users:
            await self.bus.bury(self.consumer.durable, received, error)

    def _observe(self, attempt: StageAttempt, outcome: str, error: FluxlineError | None = None) -> None:
        category = error.category.value if error else ""
        self.metrics.stage_seconds.labels(attempt.stage.value, outcome, category).observe(
            attempt.duration_ms / 1000, exemplar()
        )


def _log_context(event: Event, stage: Stage | None, received: Received) -> dict[str, Any]:
    """What every line that is logged on the way tells."""
    ids = {"training_id": event.training_id, "generation_id": getattr(event, "generation_id", None)}
    known = {name: str(value) for name, value in ids.items() if value is not None}
    return known | {"subject": event.subject, "attempt": received.attempt} | ({"stage": stage.value} if stage else {})


async def _whole_message(message: Any) -> Any:
    """Decoding is ours: a body that does not parse must not reach FastStream's own error path."""
    return message


@asynccontextmanager
async def _heartbeat(message: NatsMessage, every_s: float) -> AsyncIterator[None]:
    """Tell the server that the work goes on, so that it does not deliver the message to another replica."""

    async def beat() -> None:
        while True:
            raise_if_canceled()
            await asyncio.sleep(every_s)
            with suppress(*_LOST_ACK):
                await message.in_progress()

    task = asyncio.create_task(beat())
    try:
        yield
    finally:
        task.cancel()
