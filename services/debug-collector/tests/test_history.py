"""What is read of a training, on a real PostgreSQL: its summary, its timeline and its exports over HTTP."""

import os
import re
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from statistics import quantiles
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from fluxline.contracts.debugging import Summary, Timeline
from fluxline.postgres.pool import Database
from fluxline.runtime.envelope import Received
from fluxline_collector.api import router
from fluxline_collector.history import MAX_FACTS_BYTES, MAX_STORY_EVENTS, STORY, History
from fluxline_collector.store import EventStore
from fluxline_collector.teller import Teller

from .conftest import TOKEN
from .million import fill
from .stories import TRAIN, UPLOAD, HubDown, Story, Throttled, WrongToken

EVENTS = int(os.environ.get("COLLECTOR_TEST_EVENTS", "10000"))
"""How many events are in the table when it is measured; a million says what is promised."""


@pytest.fixture
async def client(database: Database, store: EventStore) -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    teller = Teller(History(database), "http://jaeger:16686/trace/{trace_id}")
    app.include_router(router(store, teller, SecretStr(TOKEN)))
    headers = {"Authorization": f"Bearer {TOKEN}"}
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://collector", headers=headers) as client:
        yield client


def eventful() -> Story:
    story = Story().zipped().after(2).start(TRAIN).retry(TRAIN, Throttled(), delay_s=32).after(32).start(TRAIN, 2)
    story.accepted()
    for percent in range(100):
        story.after(1).trains(percent)
    story.weights(attempt=2, worked_s=100).after(1).start(UPLOAD).retry(UPLOAD, HubDown(), delay_s=45)
    return story.after(45).start(UPLOAD, 2).fail(UPLOAD, WrongToken(status=401), 2)


def recent(story: Story) -> list[Received]:
    """The messages as if they had been stored in the last minutes."""
    shift = datetime.now(UTC) - story.now
    return [Received(m.subject, m.body, m.headers, m.sequence, m.attempt, m.stored_at + shift) for m in story.messages]


async def test_the_summary_over_http_is_that_of_all_events(client: httpx.AsyncClient, store: EventStore) -> None:
    story = eventful()
    await store.store(recent(story))
    told = Summary.model_validate_json((await client.get(f"/v1/trainings/{story.training_id}/summary")).content)
    whole = story.summary()
    assert told.trace_url == f"http://jaeger:16686/trace/{whole.trace_id}"
    for field in ("status", "stages", "error_counts", "events", "diagnosis", "cost", "provider_ids", "progress"):
        assert getattr(told, field) == getattr(whole, field)
    assert [(line.message, line.folded) for line in told.log] == [(line.message, line.folded) for line in whole.log]
    assert "images" not in told.log[0].data


async def test_the_timeline_over_http_is_that_of_all_events(client: httpx.AsyncClient, store: EventStore) -> None:
    story = eventful()
    await store.store(recent(story))
    told = Timeline.model_validate_json((await client.get(f"/v1/trainings/{story.training_id}/timeline")).content)
    assert told == story.timeline()


async def test_the_report_over_http_has_the_curve_of_the_loss(client: httpx.AsyncClient, store: EventStore) -> None:
    story = eventful()
    await store.store(recent(story))
    answer = await client.get(f"/v1/trainings/{story.training_id}/export", params={"format": "html"})
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-disposition"] == f'attachment; filename="fluxline-{story.training_id}.html"'
    assert "polyline" in answer.text
    assert 'href="http://jaeger:16686/trace/' in answer.text


@pytest.mark.parametrize("what", ["summary", "timeline", "export", "export?format=html"])
async def test_a_training_that_nothing_is_known_of_is_not_found(client: httpx.AsyncClient, what: str) -> None:
    answer = await client.get(f"/v1/trainings/{uuid4()}/{what}")
    assert (answer.status_code, "has been stored" in answer.json()["detail"]) == (404, True)


async def test_an_unknown_format_is_refused(client: httpx.AsyncClient) -> None:
    assert (await client.get(f"/v1/trainings/{uuid4()}/export?format=pdf")).status_code == 422


async def test_of_a_training_without_end_the_newest_is_told(database: Database, store: EventStore) -> None:
    story = Story().zipped()
    body = b'{"training_id": "%s"}' % str(story.training_id).encode()
    messages = recent(story)
    first = messages[0]
    messages += [
        Received("zip.unheard_of", body, {}, 1000 + n, 1, first.stored_at + timedelta(milliseconds=n))
        for n in range(MAX_STORY_EVENTS + 200)
    ]
    await store.store(messages)
    read = await History(database).story(story.training_id)
    assert read
    assert (len(read.events), read.total) == (MAX_STORY_EVENTS, MAX_STORY_EVENTS + 200 + len(story.messages))
    assert read.events[-1].id == 1000 + MAX_STORY_EVENTS + 199


async def test_thousands_of_progress_events_are_folded_before_they_are_read(
    database: Database, store: EventStore
) -> None:
    story = Story().zipped().start(TRAIN).accepted()
    for number in range(3000):
        story.after(1).trains(number / 30)
    await store.store(recent(story))
    history = History(database)
    read = await history.story(story.training_id)
    assert read
    assert (len(read.events), read.total) == (8, len(story.messages))
    assert sum(read.folded.values()) == 2999 + 4
    assert 300 <= len(await history.curve(story.training_id)) <= 601


async def test_a_summary_takes_less_than_50_ms_and_reads_no_table_from_end_to_end(
    database: Database, client: httpx.AsyncClient
) -> None:
    trainings = await fill(database.url, EVENTS)
    took_ms = []
    for training_id in trainings[:: max(1, len(trainings) // 200)]:
        began = time.perf_counter()
        assert (await client.get(f"/v1/trainings/{training_id}/summary")).status_code == 200
        took_ms.append((time.perf_counter() - began) * 1000)
    p50, p95 = quantiles(took_ms, n=20)[9], quantiles(took_ms, n=20)[18]
    print(f"summary with {EVENTS} events: p50 {p50:.1f} ms, p95 {p95:.1f} ms over {len(took_ms)} trainings")
    assert p95 < 50
    plan = await database.pool.fetch(f"EXPLAIN {STORY}", trainings[0], MAX_STORY_EVENTS, MAX_FACTS_BYTES)
    read_whole = re.findall(r"Seq Scan on (events_\w+)", "\n".join(row[0] for row in plan))
    large = [week for week in read_whole if await database.pool.fetchval(f"SELECT count(*) > 500 FROM {week}")]
    assert large == []  # a week of few rows is read whole by right: the first and the last may be cut short
