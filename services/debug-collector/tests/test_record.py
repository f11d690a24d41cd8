"""A message becomes a row that PostgreSQL takes, whatever the message holds."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fluxline.postgres.pool import Database
from fluxline.runtime.envelope import VERSION, body_of
from fluxline_collector.record import record_of
from fluxline_collector.store import EventStore
from streams import requested

from .messages import raw, received

POISON = (
    b'{"a": NaN}',
    b'{"a": 1e999}',
    b'{"a": -1e9999999}',
    b'{"a": "\\ud800"}',
    b'{"\\udfff": 1}',
    b'{"a": "\\u0000"}',
    b'{"stage": "\\u0000", "service": "\\ud800"}',
    b'{"occurred_at": "9999-12-31T23:59:59-12:00"}',
    b'{"occurred_at": "0001-01-01T00:00:00+14:00"}',
    b'{"attempt": 99999999999999}',
    b'{"duration_ms": 99999999999999999999999}',
    b'{"a": ' + b"9" * 200_000 + b"}",
    b"[" * 900 + b"]" * 900,
    b'{"a":' * 900 + b"1" + b"}" * 900,
    b"\xff\xfe",
    b"",
)


async def test_no_message_keeps_its_batch_from_being_stored(store: EventStore, database: Database) -> None:
    """An extra fact is no obstacle to reading an event, so poison comes in readable ones too."""
    readable = body_of(requested())[:-1]
    bodies = [*POISON, *(readable + b"," + body[1:] for body in POISON if body[:1] == b"{")]
    messages = [raw(body, "training.requested", place) for place, body in enumerate(bodies)]
    assert await store.add(messages) == len(messages)
    rows = await database.pool.fetch("SELECT body FROM events ORDER BY sequence")
    assert [bytes(row["body"]) for row in rows] == bodies


async def test_what_postgresql_refuses_is_stored_without_facts_and_says_so(
    store: EventStore, database: Database
) -> None:
    body = body_of(requested())[:-1] + b', "a": 1e999999}'
    messages = [raw(b"{}", place=0), raw(body, "training.requested", 1), raw(b"{}", place=2)]
    await store.add(messages)
    rows = await database.pool.fetch("SELECT facts, problem, training_id, body FROM events ORDER BY sequence")
    assert [row["facts"] is None for row in rows] == [False, True, False]
    assert "PostgreSQL" in rows[1]["problem"]
    assert bytes(rows[1]["body"]) == body
    assert rows[1]["training_id"] is not None


hostile_json: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters()), inner, max_size=4),
    max_leaves=12,
)
NAMES = st.sampled_from(["event_id", "training_id", "occurred_at", "stage", "attempt", "duration_ms", "retryable"])


@given(
    facts=st.dictionaries(NAMES | st.text(st.characters()), hostile_json, max_size=6),
    headers=st.dictionaries(st.text(st.characters(codec="utf-8")), st.text(st.characters(codec="utf-8")), max_size=3),
    escaped=st.booleans(),
)
@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
def test_every_row_is_text_that_utf_8_and_jsonb_can_hold(
    facts: dict[str, Any], headers: dict[str, str], escaped: bool
) -> None:
    body = json.dumps(facts, ensure_ascii=escaped).encode(errors="surrogatepass")
    record = record_of(raw(body, "stage.failed", **headers))
    for text in (record.facts or "{}", record.headers):
        text.encode()
        assert "\\u0000" not in text
        json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    for text in (record.stage, record.service, record.problem, record.trace_id):
        assert "\x00" not in (text or "")
        (text or "").encode()


def test_a_row_knows_which_version_sent_it() -> None:
    (message,) = received([requested()])
    assert record_of(message).service_version == VERSION


def test_the_quick_way_and_the_slow_way_read_the_same() -> None:
    event = requested()
    (quick,) = (record_of(message) for message in received([event]))
    escaped = json.dumps(json.loads(body_of(event)) | {"note": "\u00e9"}).encode()
    (message,) = received([event])
    slow = record_of(raw(escaped, event.subject, **message.headers))
    names = ("occurred_at", "event_id", "training_id", "stage", "service", "trace_id", "readable", "headers")
    assert [getattr(quick, name) for name in names] == [getattr(slow, name) for name in names]
    assert json.loads(quick.facts or "") | {"note": "é"} == json.loads(slow.facts or "")


def test_no_column_holds_a_secret() -> None:
    token = "hf_" + "Ab1" * 12
    facts = {"stage": token, "service": token, "category": token, "note": f"Bearer {token}"}
    message = raw(json.dumps(facts).encode(), "stage.failed", **{"ce-source": f"/fluxline/{token}", "x": token})
    record = record_of(message)
    assert token not in repr(record)
    assert record.redacted
