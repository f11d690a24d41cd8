"""The summary equals what happened: whole histories in, one look out."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import uuid4

from fluxline.contracts.errors import ErrorCategory, FluxlineError, Stage
from fluxline.contracts.event import Event
from fluxline.contracts.events import (
    ModelPublished,
    TrainingCanceled,
    TrainingCancelRequested,
    TrainingRetryRequested,
    TrainingStarted,
    ZipCreated,
    ZipProgressed,
)
from fluxline.runtime.envelope import Received, body_of, headers_of
from fluxline.runtime.handlers import training_failed
from fluxline.runtime.stages import StageAttempt
from fluxline_collector.api import stored_event
from fluxline_collector.record import record_of
from fluxline_collector.summary import StoredEvent, Summary, summarise
from streams import requested

TRAINING = uuid4()
START = datetime(2026, 11, 24, 10, tzinfo=UTC)
TRACE = "0af7651916cd43dd8448eb211c80319c"
S = "0" * 64


class HubDown(FluxlineError):
    """Hugging Face does not answer."""

    category = ErrorCategory.SERVICE_ERROR
    hint = "Wait; it is tried again by itself."


class WrongToken(FluxlineError):
    """Hugging Face refused the token."""

    category = ErrorCategory.AUTHENTICATION
    hint = "Set HUGGINGFACE_API_TOKEN."


def stored(events: list[Event | bytes]) -> list[StoredEvent]:
    """The events as rows, one second apart."""
    return [_row(event, number) for number, event in zip(_numbers(), events, strict=False)]


def _numbers() -> Iterator[int]:
    return count(1)


def _row(event: Event | bytes, number: int) -> StoredEvent:
    at = START + timedelta(seconds=number)
    if isinstance(event, Event):
        event = event.model_copy(update={"occurred_at": at})
        subject, body, headers = event.subject, body_of(event), headers_of(event, "test")
    else:
        subject, body, headers = "zip.created", event, {}
    headers |= {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
    record = record_of(Received(subject, body, headers, number, 1, at))
    row: dict[str, Any] = record.__dict__ | {"received_at": at}
    return stored_event(row)  # type: ignore[arg-type]  # a mapping reads like a record


def zip_stage() -> list[Event]:
    cause = requested(TRAINING)
    attempt = StageAttempt(Stage.ZIP_CREATION, "zipper", cause, 1, elapsed_s=2)
    created = ZipCreated.caused_by(cause, **cause.job_facts(), zip_key="z.zip", size_bytes=9, sha256=S, image_count=5)
    progressed = ZipProgressed.caused_by(cause, done=5, total=5, current="image_005.jpg", size_bytes=9)
    return [cause, attempt.started(), progressed, created, attempt.succeeded()]


def publish_stage(cause: Event, attempts: list[FluxlineError | None]) -> list[Event]:
    events: list[Event] = []
    for number, error in enumerate(attempts, start=1):
        attempt = StageAttempt(Stage.HUGGINGFACE_UPLOAD, "publisher", cause, number, elapsed_s=0.25)
        events.append(attempt.started())
        if error is None:
            events.append(attempt.succeeded())
        elif error.category.retryable:
            events.append(attempt.retried(error, 1))
        else:
            failed = training_failed(attempt, error)
            assert failed
            events += [attempt.failed(error), failed]
    return events


def published(cause: Event) -> Event:
    job = requested(TRAINING).job_facts()
    hub = {"repo": "ada/x", "commit": "a" * 40, "url": "https://huggingface.co/ada/x", "private": True}
    facts = {"model_id": uuid4(), "weights_key": "m.safetensors", "sha256": S, "size_bytes": 1}
    return ModelPublished.caused_by(cause, **job, **facts, huggingface=hub, provider="replicate", provider_version="v")


def summary_of(events: list[Event | bytes]) -> Summary:
    return summarise(TRAINING, stored(events))


def test_a_training_that_went_well_is_told_as_it_went() -> None:
    events = zip_stage()
    started = TrainingStarted.caused_by(
        events[3], provider="replicate", external_id="r1", destination="a/b", trainer_version="t"
    )
    events += [started, *publish_stage(events[3], [None]), published(events[3])]
    summary = summary_of(list(events))
    assert (summary.status, summary.current_stage, summary.events) == ("succeeded", "completion", len(events))
    assert [(s.stage, s.status, s.attempts) for s in summary.stages] == [
        ("zip_creation", "succeeded", 1),
        ("huggingface_upload", "succeeded", 1),
    ]
    assert summary.error_counts == {}
    assert summary.trace_id == TRACE
    assert summary.provider_ids == {"replicate": "r1", "huggingface": "ada/x@" + "a" * 40}
    assert summary.diagnosis == "Completed: Model published to https://huggingface.co/ada/x"


def test_retries_are_counted_and_waiting_is_told_from_work() -> None:
    events = zip_stage()
    events += [*publish_stage(events[3], [HubDown(), HubDown(), None]), published(events[3])]
    summary = summary_of(list(events))
    upload = summary.stages[1]
    assert (upload.attempts, upload.work_ms // 50, upload.status) == (3, 15, "succeeded")
    assert upload.duration_ms == 5000
    assert upload.wait_ms == 5000 - upload.work_ms
    assert summary.error_counts == {"service_error": 2}
    assert summary.retryable_errors == 2


def test_a_failed_training_says_where_why_and_what_to_do() -> None:
    events = zip_stage()
    events += publish_stage(events[3], [WrongToken()])
    summary = summary_of(list(events))
    assert (summary.status, summary.current_stage) == ("failed", "huggingface_upload")
    assert summary.diagnosis == (
        "Publishing failed (authentication): Hugging Face refused the token. Set HUGGINGFACE_API_TOKEN."
    )
    assert summary.last_error
    assert summary.last_error.retryable is False


def test_a_training_between_two_attempts_says_so() -> None:
    events = zip_stage()
    events += publish_stage(events[3], [HubDown()])
    summary = summary_of(list(events))
    assert (summary.status, summary.stages[1].status, summary.stages[1].ended_at) == ("running", "retrying", None)
    assert summary.diagnosis.startswith("Publishing is being tried again (service_error)")


def test_an_unreadable_message_is_shown_and_disturbs_nothing() -> None:
    body = json.dumps({"training_id": str(TRAINING), "zip_key": 7}).encode()
    summary = summary_of([*zip_stage(), body])
    assert summary.events == 6
    assert summary.log[-1].level == "warning"
    assert "could not be read" in summary.log[-1].message


def test_an_event_that_came_twice_counts_once() -> None:
    events = zip_stage()
    assert summary_of([*events, *events]).events == len(events)


def test_the_current_stage_of_a_running_job_is_the_next_one_to_start() -> None:
    assert summary_of(list(zip_stage())).current_stage == "replicate_training"


def test_a_stage_that_ran_when_the_training_was_canceled_ends_with_it() -> None:
    events = zip_stage()
    events += publish_stage(events[3], [HubDown()])
    request = TrainingCancelRequested.first(f"{TRAINING}/0", training_id=TRAINING)
    events += [request, TrainingCanceled.caused_by(request, stage=Stage.HUGGINGFACE_UPLOAD)]
    upload = summary_of(list(events)).stages[1]
    assert upload.status == "canceled"
    assert upload.ended_at == START + timedelta(seconds=len(events))
    assert upload.duration_ms is not None


def test_a_retried_stage_counts_the_attempts_of_both_runs_and_ends_as_the_newest() -> None:
    events = zip_stage()
    events += publish_stage(events[3], [HubDown(), WrongToken()])
    retry = TrainingRetryRequested.first(
        f"{TRAINING}/1", **requested(TRAINING).job_facts(), training_id=TRAINING, from_stage=Stage.HUGGINGFACE_UPLOAD
    )
    events += [retry, *publish_stage(retry, [None])]
    upload = summary_of(list(events)).stages[1]
    assert (upload.attempts, upload.status) == (3, "succeeded")
    again = publish_stage(retry, [HubDown()])
    assert summary_of([*events[:-2], *again]).stages[1].status == "retrying"
