"""Messages as spans, on a real server: each the child of its cause, retries and replays linked, progress silent."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from nats.js import JetStreamContext
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from fluxline.contracts.catalog import COLLECTOR, ZIPPER
from fluxline.contracts.errors import ErrorCategory, FluxlineError, Stage
from fluxline.contracts.events import TrainingRequested, ZipCreated
from fluxline.runtime import spans
from fluxline.runtime.bus import Bus
from fluxline.runtime.dead_letters import DeadLetters
from fluxline.runtime.envelope import Received
from fluxline.runtime.handlers import Delivery, Handlers
from fluxline.runtime.message_spans import MessageSpans, span_id_of
from fluxline.runtime.metrics import Metrics
from fluxline.runtime.policy import RetryPolicy
from fluxline.runtime.sampling import sampler_of
from fluxline.runtime.subscription import Subscription
from fluxline.runtime.telemetry import continued_trace
from fluxline.runtime.trace_context import extracted
from polling import poll_until
from servers import NatsServer
from streams import messages_of, requested

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
NOT_KEPT = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-00"}


class Down(FluxlineError):
    """Away for now."""

    category = ErrorCategory.SERVICE_ERROR


class Kept(InMemorySpanExporter):
    """Spans by their names."""

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.get_finished_spans() if span.name == name]


@pytest.fixture
def kept() -> Kept:
    return Kept()


def provider_to(kept: Kept, ratio: float = 1.0) -> TracerProvider:
    provider = TracerProvider(sampler=sampler_of("parentbased_traceidratio", ratio))
    provider.add_span_processor(SimpleSpanProcessor(kept))
    return provider


@asynccontextmanager
async def zipper(nats: NatsServer, kept: Kept, *errors: Exception, attempts: int = 3) -> AsyncIterator[Bus]:
    """A zipper whose first deliveries fail like that."""
    bus, left = Bus("zipper", nats.url, provider_to(kept)), list(errors)
    handlers = Handlers(ZIPPER, policy=RetryPolicy(attempts=attempts, base_s=0.05, jitter=0))

    @handlers.on(TrainingRequested, stage=Stage.ZIP_CREATION)
    async def on_training_requested(event: TrainingRequested, delivery: Delivery) -> ZipCreated:
        if left:
            raise left.pop(0)
        return ZipCreated.caused_by(
            event, **event.job_facts(), zip_key="zips/x.zip", size_bytes=1, sha256="0" * 64, image_count=5
        )

    Subscription(bus, handlers, Metrics("zipper")).register()
    await bus.broker.connect()
    await bus.broker.start()
    yield bus
    bus.stopping = True
    await bus.broker.stop()


def span_id(span: ReadableSpan) -> int:
    assert span.context
    return span.context.span_id


def parent_id(span: ReadableSpan) -> int:
    assert span.parent
    return span.parent.span_id


async def test_a_message_is_published_and_processed_as_the_child_of_its_cause(
    nats: NatsServer, jetstream: JetStreamContext, kept: Kept
) -> None:
    async with zipper(nats, kept) as bus:
        with continued_trace(CALLER):
            await bus.publish(requested())
        await poll_until(lambda: kept.named("process training.requested"))
    [published], [processed] = kept.named("publish training.requested"), kept.named("process training.requested")
    [answer] = kept.named("publish zip.created")
    assert parent_id(published) == 0x00F067AA0BA902B7
    assert parent_id(processed) == span_id(published)
    assert parent_id(answer) == span_id(processed)
    assert (published.kind, processed.kind) == (SpanKind.PRODUCER, SpanKind.CONSUMER)
    assert processed.attributes
    assert processed.attributes["messaging.consumer.group.name"] == "zipper"
    assert (processed.attributes["fluxline.stage"], processed.attributes["fluxline.outcome"]) == (
        "zip_creation",
        "succeeded",
    )
    assert {span.name for span in kept.get_finished_spans()} == {
        "publish training.requested",
        "process training.requested",
        "publish zip.created",
    }
    quiet = [message for message in await messages_of(jetstream) if (message.subject or "").startswith("stage.")]
    assert quiet
    assert all((message.headers or {})["traceparent"].split("-")[1] == TRACE for message in quiet)


async def test_a_retry_is_linked_to_the_attempt_before_and_failures_say_why(
    nats: NatsServer, jetstream: JetStreamContext, kept: Kept
) -> None:
    async with zipper(nats, kept, Down()) as bus:
        with continued_trace(CALLER):
            await bus.publish(requested())
        await poll_until(lambda: len(kept.named("process training.requested")) == 2)
    first, second = kept.named("process training.requested")
    assert first.attributes
    assert (first.attributes["error.type"], first.status.is_ok) == ("service_error", False)
    assert [link.context.span_id for link in second.links] == [span_id(first)]
    assert parent_id(second) == parent_id(first)


async def test_a_replay_is_linked_to_the_attempt_that_gave_up(
    nats: NatsServer, jetstream: JetStreamContext, kept: Kept
) -> None:
    async with zipper(nats, kept, Down(), attempts=1) as bus:
        with continued_trace(CALLER):
            await bus.publish(requested())
        letters = DeadLetters(jetstream)
        await poll_until(lambda: _listed(letters))
        [letter] = await letters.list()
        await letters.replay(letter.sequence)
        await poll_until(lambda: len(kept.named("process training.requested")) == 2)
    given_up, replayed = kept.named("process training.requested")
    assert [link.context.span_id for link in replayed.links] == [span_id(given_up)]
    assert replayed.context
    assert f"{replayed.context.trace_id:032x}" == TRACE


async def _listed(letters: DeadLetters) -> bool:
    return bool(await letters.list())


async def test_what_is_not_kept_makes_no_spans_and_travels_on(
    nats: NatsServer, jetstream: JetStreamContext, kept: Kept
) -> None:
    async with zipper(nats, kept) as bus:
        with continued_trace(NOT_KEPT):
            await bus.publish(requested())
        await poll_until(lambda: _said(jetstream, "zip.created"))
    assert not kept.get_finished_spans()
    assert {(m.headers or {})["traceparent"][3:35] for m in await messages_of(jetstream)} == {TRACE}
    assert {(m.headers or {})["traceparent"][-2:] for m in await messages_of(jetstream)} == {"00"}


async def _said(jetstream: JetStreamContext, subject: str) -> bool:
    return any(message.subject == subject for message in await messages_of(jetstream))


def test_a_batch_makes_one_span_for_each_kept_trace_in_it(kept: Kept) -> None:
    spans = MessageSpans(provider_to(kept))
    batch = [
        _received(1, "zip.created", CALLER),
        _received(2, "training.started", CALLER),
        _received(3, "zip.progressed", CALLER),
        _received(4, "zip.created", {"traceparent": f"00-{'b' * 32}-{'c' * 16}-00"}),
        _received(5, "zip.created", {"traceparent": "00-not-a-trace"}),
    ]
    spans.batch(COLLECTOR, batch, 1000, None)
    [span] = kept.get_finished_spans()
    assert (span.name, span_id(span), span.start_time) == ("process zip.created", span_id_of("collector", 1, 1), 1000)
    assert len(span.links) == 1
    assert span.attributes
    assert span.attributes["messaging.batch.message_count"] == 5


@pytest.mark.parametrize("ratio", [0.0, 1.0])
def test_a_message_without_a_trace_begins_one_that_is_sampled_like_any_other(kept: Kept, ratio: float) -> None:
    spans = MessageSpans(provider_to(kept, ratio))
    headers: dict[str, str] = {}
    with spans.publishing("training.requested", headers, 10):
        pass
    with spans.processing(ZIPPER, _received(1, "training.requested", headers)):
        assert trace.get_current_span().get_span_context().is_valid
    assert len(kept.get_finished_spans()) == 2 * ratio


def _received(sequence: int, subject: str, headers: dict[str, str]) -> Received:
    return Received(subject, b"", headers, sequence, 1, datetime.now(UTC))


def test_a_trace_known_by_its_id_alone_goes_on_kept_or_not_as_it_began() -> None:
    sampler = sampler_of("parentbased_traceidratio", 0.5)
    try:
        spans.use(TracerProvider(sampler=sampler))
        low, high = f"{1:032x}", f"{2**64 - 1:032x}"  # a ratio goes by the last eight bytes
        assert [extracted({"traceparent": spans.traceparent_of(id_)}).trace_flags for id_ in (low, high)] == [1, 0]
    finally:
        spans.use(TracerProvider())
