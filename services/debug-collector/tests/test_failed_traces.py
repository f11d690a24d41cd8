"""A failed training that was not sampled gets its trace from its history; nobody else gets one."""

from dataclasses import replace

import pytest

from fluxline.contracts.events import TrainingFailed
from fluxline.runtime.envelope import Received
from fluxline.runtime.otlp import encode
from fluxline.runtime.telemetry import make_exporter
from fluxline_collector.failed_traces import FailedTraces, TraceNotWritten, spans_of_failure
from fluxline_collector.history import History
from fluxline_collector.store import EventStore
from otlp import OtlpReceiver, spans_of

from .stories import TRACE, TRAIN, UPLOAD, ZIP, HubDown, Story, WrongToken


def unsampled(story: Story) -> list[Received]:
    """The story's messages as services send them in a trace that is not kept."""
    header = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-00"}
    return [replace(message, headers={**message.headers, **header}) for message in story.messages]


def failure() -> Story:
    """Zipped and trained, then the hub is down once and refuses the token at last."""
    story = Story().zipped().trained().after(1).start(UPLOAD)
    return story.retry(UPLOAD, HubDown()).after(10).start(UPLOAD, 2).fail(UPLOAD, WrongToken(), 2)


def failed_message(messages: list[Received]) -> Received:
    [found] = [message for message in messages if message.subject == TrainingFailed.subject]
    return found


async def test_what_was_not_sampled_is_written_with_every_attempt_and_its_category(store: EventStore) -> None:
    messages = unsampled(failure())
    await store.store(messages)
    with OtlpReceiver() as otlp:
        await FailedTraces(History(store.database), make_exporter(otlp.url)).handle([failed_message(messages)])
        spans = {(span.name, span.attributes.get("fluxline.attempt")): span for span in otlp.of_trace(TRACE)}
    root = spans["training", None]
    assert (root.service, root.parent, root.failed) == ("gateway", "", True)
    assert root.attributes["error.type"] == "authentication"
    assert {span.parent for span in spans.values()} == {"", root.span_id}
    attempts = {key: (span.service, span.attributes.get("error.type")) for key, span in spans.items() if key[1]}
    assert attempts == {
        (ZIP.value, 1): ("zipper", None),
        (TRAIN.value, 1): ("trainer", None),
        (UPLOAD.value, 1): ("publisher", "service_error"),
        (UPLOAD.value, 2): ("publisher", "authentication"),
    }
    assert "training.succeeded" in root.events
    assert all(root.start_ns <= span.start_ns <= span.end_ns <= root.end_ns for span in spans.values())


async def test_a_sampled_failure_has_its_spans_already(store: EventStore) -> None:
    story = failure()
    await store.store(story.messages)
    with OtlpReceiver() as otlp:
        await FailedTraces(History(store.database), make_exporter(otlp.url)).handle([failed_message(story.messages)])
        assert not otlp.requests


async def test_an_endpoint_that_refuses_is_asked_again_and_a_history_waited_for(store: EventStore) -> None:
    messages = unsampled(failure())
    with OtlpReceiver() as otlp:
        traces = FailedTraces(History(store.database), make_exporter(otlp.url), retry_s=0)
        with pytest.raises(TraceNotWritten, match="history"):
            await traces.handle([failed_message(messages)])
        await store.store(messages)
        otlp.behaviour = "refuse"
        with pytest.raises(TraceNotWritten, match="endpoint"):
            await traces.handle([failed_message(messages)])
        otlp.behaviour = "take"
        await traces.handle([failed_message(messages)])
        assert len(otlp.spans) == 5


async def test_without_an_endpoint_nothing_is_to_be_done(store: EventStore) -> None:
    await FailedTraces(History(store.database), None).handle([failed_message(unsampled(failure()))])


def test_the_same_history_has_the_same_ids_and_a_later_run_others() -> None:
    story = failure()
    failed = [event for event in story.messages if event.subject == TrainingFailed.subject]
    first = _ids(story, 0)
    assert first == _ids(story, 0)
    assert len(failed) == 1
    story.after(60).asked_to_retry(UPLOAD).after(1).start(UPLOAD).fail(UPLOAD, WrongToken())
    assert not _ids(story, 1) & first


def _ids(story: Story, run: int) -> set[str]:
    found = [
        event
        for message in story.messages
        if message.subject == TrainingFailed.subject
        if (event := TrainingFailed.model_validate_json(message.body)).run == run
    ]
    return {span.span_id for span in spans_of(encode(spans_of_failure(found[0], story.events(), int(TRACE, 16))))}
