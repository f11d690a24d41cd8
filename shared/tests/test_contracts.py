"""The contract with every other service, past and future: subjects, ids, golden payloads."""

import json
from pathlib import Path
from uuid import uuid4

import pytest
from pydantic import ValidationError

from fluxline.contracts import events
from fluxline.contracts.catalog import CONSUMERS, EVENTS, EVENTS_STREAM
from fluxline.contracts.errors import ErrorCategory
from fluxline.contracts.event import Event
from fluxline.contracts.events import StageStarted, TrainingRequested, ZipCreated
from fluxline.runtime.envelope import body_of, headers_of, read_event
from streams import requested

GOLDEN = sorted((Path(__file__).parent / "golden").glob("*.json"))


def all_event_classes(base: type[Event] = Event) -> set[type[Event]]:
    below = {cls for sub in base.__subclasses__() for cls in {sub} | all_event_classes(sub)}
    return {cls for cls in below if "subject" in cls.__dict__ and cls.__module__ == events.__name__}


def test_the_catalog_lists_every_event() -> None:
    assert set(EVENTS.values()) == all_event_classes()


def test_every_event_travels_on_the_events_stream() -> None:
    prefixes = {subject.removesuffix(".>") for subject in EVENTS_STREAM.subjects}
    assert {subject.split(".")[0] for subject in EVENTS} == prefixes


def test_every_consumer_has_its_own_name_and_known_subjects() -> None:
    assert len({consumer.durable for consumer in CONSUMERS}) == len(CONSUMERS)
    for consumer in CONSUMERS:
        for subject in consumer.subjects:
            known = subject in EVENTS or subject in consumer.stream.subjects
            assert known or subject.startswith("timers.due.")


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_every_payload_ever_sent_is_still_understood(path: Path) -> None:
    payload = json.loads(path.read_text())
    subject = path.name.rsplit(".", 2)[0]
    event = read_event(subject, path.read_bytes())
    kept = json.loads(body_of(event))
    for name, value in payload.items():
        assert _contains(kept[name], value), name


def test_every_event_has_a_golden_payload() -> None:
    assert {path.name.rsplit(".", 2)[0] for path in GOLDEN} == set(EVENTS)


def _contains(kept: object, sent: object) -> bool:
    if isinstance(sent, dict):
        return isinstance(kept, dict) and all(_contains(kept.get(k), v) for k, v in sent.items())
    if isinstance(sent, list):
        return isinstance(kept, list) and all(_contains(k, v) for k, v in zip(kept, sent, strict=True))
    return kept == sent


def test_the_same_cause_leads_to_the_same_event_id() -> None:
    cause = requested()
    facts = cause.job_facts() | {"zip_key": "a.zip", "size_bytes": 1, "sha256": "0" * 64, "image_count": 5}
    assert ZipCreated.caused_by(cause, **facts).event_id == ZipCreated.caused_by(cause, **facts).event_id
    assert ZipCreated.caused_by(requested(), **facts).event_id != ZipCreated.caused_by(cause, **facts).event_id


def test_a_discriminator_tells_the_events_of_one_cause_apart() -> None:
    cause = requested()
    facts = {"stage": "zip_creation", "service": "zipper"}
    first = StageStarted.caused_by(cause, discriminator="1", attempt=1, **facts)
    second = StageStarted.caused_by(cause, discriminator="2", attempt=2, **facts)
    assert first.event_id != second.event_id


def test_facts_of_a_newer_version_are_ignored() -> None:
    event = requested()
    body = json.loads(body_of(event)) | {"mood": "sunny"}
    assert read_event(event.subject, json.dumps(body).encode()) == event


@pytest.mark.parametrize("key", ["/etc/passwd", "../x", "https://evil/x", "a b", ""])
def test_a_storage_key_is_no_url_and_no_absolute_path(key: str) -> None:
    with pytest.raises(ValidationError):
        TrainingRequested.model_validate(
            json.loads(body_of(requested())) | {"images": [{"key": key, "sha256": "0" * 64}]}
        )


@pytest.mark.parametrize("word", ["", " a", "a ", "a\nb", "\x85a", "a\ufeff", "x" * 51])
def test_a_trigger_word_is_one_to_fifty_characters_without_spaces_at_its_ends(word: str) -> None:
    with pytest.raises(ValidationError):
        requested(trigger_word=word)


def test_headers_follow_cloudevents_and_carry_the_message_id() -> None:
    event = requested(uuid4())
    headers = headers_of(event, "gateway")
    assert headers["Nats-Msg-Id"] == headers["ce-id"] == str(event.event_id)
    assert headers["ce-type"] == "training.requested"
    assert headers["ce-source"] == "/fluxline/gateway"
    assert headers["ce-subject"] == str(event.training_id)


def test_retryable_is_a_property_of_the_category() -> None:
    retryable = {category for category in ErrorCategory if category.retryable}
    assert retryable == {"network", "rate_limit", "service_error", "timeout", "internal"}
