"""Spans leave as OTLP says, without secrets, and whatever their endpoint does, nobody waits for it."""

import threading
import time
from collections import Counter

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from fluxline.runtime.otlp import encode
from fluxline.runtime.redaction import know_secrets
from fluxline.runtime.sampling import sampler_of
from fluxline.runtime.span_export import SpanQueue
from fluxline.runtime.telemetry import make_exporter, make_tracer_provider
from otlp import Behaviour, OtlpReceiver, spans_of

UNUSUAL = {
    "text": "zip.created",
    "long": "x" * 5000,
    "umlaut": "Ä→☃",
    "zero": 0,
    "negative": -5,
    "huge": 2**62,
    "half": 0.5,
    "yes": True,
    "no": False,
    "one": 1,
    "list": ["a", "b"],
    "numbers": [1, 2],
    "fluxline.training_id": "0190b5a4-7c1e-7b6a-9d3f-2f8f6c1c1a11",
    "messaging.message.id": "no-uuid:r5",
}


def spans(count: int = 1) -> list[ReadableSpan]:
    kept = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    link = Link(SpanContext(5, 6, True, TraceFlags(1)), {"fluxline.link": "retry"})
    for number in range(count):
        span = provider.get_tracer("t").start_span(
            f"process {number}", kind=SpanKind.CONSUMER, attributes=UNUSUAL, links=[link]
        )
        span.add_event("half way", {"percent": 50})
        span.set_status(Status(StatusCode.ERROR, "it broke"))
        span.end()
    return list(kept.get_finished_spans())


def test_what_is_encoded_by_hand_is_what_the_protocols_own_classes_read() -> None:
    [span] = spans()
    body = encode([span])
    [read] = spans_of(body)
    assert span.context
    assert (read.trace_id, read.span_id) == (f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}")
    assert (read.name, read.kind, read.failed, read.said) == ("process 0", "consumer", True, "it broke")
    assert (read.start_ns, read.end_ns) == (span.start_time, span.end_time)
    assert read.links == ((f"{5:032x}", f"{6:016x}"),)
    assert read.events == ("half way",)
    for name in set(UNUSUAL) - {"long", "list", "numbers"}:
        assert read.attributes[name] == UNUSUAL[name], name
        assert type(read.attributes[name]) is type(UNUSUAL[name]), name
    assert [value.string_value for value in read.attributes["list"].values] == ["a", "b"]
    assert read.attributes["long"] == "x" * 2000
    again = ExportTraceServiceRequest.FromString(body).SerializeToString()
    assert spans_of(again) == spans_of(body)


def test_what_becomes_a_secret_later_is_taken_out_of_what_was_sent_before() -> None:
    provider = TracerProvider()
    word = "correct-horse-battery-staple"
    span = provider.get_tracer("t").start_span("s", attributes={"where": word})
    span.end()
    assert isinstance(span, ReadableSpan)
    assert word.encode() in encode([span])
    know_secrets([word])
    assert word.encode() not in encode([span])


@pytest.mark.parametrize("behaviour", ["hang", "refuse"])
def test_an_endpoint_that_does_not_take_spans_holds_up_nobody(behaviour: Behaviour) -> None:
    dropped: Counter[str] = Counter()
    with OtlpReceiver() as otlp:
        otlp.behaviour = behaviour
        queue = SpanQueue(
            make_exporter(otlp.url), lambda reason, count: dropped.update({reason: count}), max_waiting=1000, last_s=0.5
        )
        [span] = spans()
        begun = time.perf_counter()
        for _ in range(5000):
            queue.on_end(span)
        assert time.perf_counter() - begun < 1
        begun = time.perf_counter()
        queue.shutdown()
        assert time.perf_counter() - begun < 1.5
        assert dropped["queue_full"] > 0
        assert dropped.total() == 5000


def test_an_endpoint_that_is_away_costs_nothing_and_its_spans_are_counted() -> None:
    dropped: Counter[str] = Counter()
    with OtlpReceiver() as otlp:
        gone = otlp.url
    queue = SpanQueue(make_exporter(gone), lambda reason, count: dropped.update({reason: count}), last_s=0.5)
    for span in spans(3):
        queue.on_end(span)
    begun = time.perf_counter()
    queue.shutdown()
    assert time.perf_counter() - begun < 1.5
    assert dropped.total() == 3


def test_what_waits_at_the_end_of_the_process_is_sent() -> None:
    with OtlpReceiver() as otlp:
        provider = make_tracer_provider("zipper", otlp.url)
        with provider.get_tracer("t").start_as_current_span("last words"):
            pass
        provider.shutdown()
        assert [(span.service, span.name) for span in otlp.spans] == [("zipper", "last words")]
    assert not [thread for thread in threading.enumerate() if thread.name == "span-export" and thread.is_alive()]


def test_services_decide_alike_and_children_as_their_parents_did() -> None:
    providers = [
        make_tracer_provider(name, None, sampler=sampler_of("parentbased_traceidratio", 0.5)) for name in ("a", "b")
    ]
    decisions = {
        tuple(provider.sampler.should_sample(None, trace_id, "x").decision for provider in providers)
        for trace_id in (n * 0x9E3779B97F4A7C15F39CC0605CEDC834 % 2**128 for n in range(1, 200))
    }
    assert len(decisions) == 2
    assert all(first is second for first, second in decisions)
