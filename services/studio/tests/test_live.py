"""The live part of the job page: what a browser is told when something ends, breaks or stops; and what it draws."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx
import pytest

from fluxline_studio.app import make_app
from fluxline_studio.deps import Studio
from fluxline_studio.event_phrases import said
from fluxline_studio.job_view import Told, elapsed_s, waterfall
from fluxline_studio.live import fragments
from fluxline_studio.settings import StudioSettings
from polling import poll_until

ID = UUID("7a1a1a60-0000-4000-8000-000000000001")
KEY = "fl_the-key-of-ada"
TRAINING: dict[str, Any] = {
    "id": str(ID), "name": "Ada", "status": "training", "stage": "replicate_training", "progress": 40.0, "eta_s": 60.0,
    "phase": "training", "waiting_reason": None, "step": 400, "steps": 1000, "error": None, "cost": None,
    "result": None, "estimate": None, "created_at": "2026-11-25T10:00:00Z", "updated_at": "2026-11-25T10:01:40Z",
    "stages": [
        {"stage": "zip_creation", "status": "succeeded", "attempts": 1, "started_at": "2026-11-25T10:00:00Z",
         "ended_at": "2026-11-25T10:00:25Z", "duration_ms": 25000, "estimate_s": None},
        {"stage": "replicate_training", "status": "running", "attempts": 2, "started_at": "2026-11-25T10:00:50Z",
         "ended_at": None, "duration_ms": None, "estimate_s": None},
        {"stage": "huggingface_upload", "status": "pending", "attempts": 0, "started_at": None,
         "ended_at": None, "duration_ms": None, "estimate_s": None},
    ],
}  # fmt: skip


class Gateway:
    """A double of the gateway whose stream of events stays open until `over` is set."""

    def __init__(self) -> None:
        self.over = asyncio.Event()
        self.statuses = {"training": 200, "stream": 200}
        self.training: dict[str, Any] = TRAINING

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/events"):
            stream = {"content-type": "text/event-stream"}
            return httpx.Response(self.statuses["stream"], content=self._events(), headers=stream)
        return httpx.Response(self.statuses["training"], json=self.training)

    async def _events(self) -> AsyncIterator[bytes]:
        yield b": open\n\n"
        await self.over.wait()


@pytest.fixture
async def gateway() -> Gateway:
    return Gateway()


@pytest.fixture
async def studio(gateway: Gateway) -> AsyncIterator[Studio]:
    settings = StudioSettings(secret="s" * 32, cookie_secure=False, _env_file=None)  # type: ignore[call-arg, arg-type]
    studio: Studio = make_app(settings, httpx.MockTransport(gateway)).state.studio
    yield studio
    await studio.gateway.close()


async def rest_of(studio: Studio) -> list[str]:
    """All messages of a page, until its stream ends."""
    async with asyncio.timeout(5):
        return [message async for message in fragments(studio, KEY, ID, Told())]


@pytest.mark.parametrize(("status", "href"), [(401, f"/sign-in?next=%2Ftrainings%2F{ID}"), (404, None)])
async def test_what_trying_again_does_not_change_is_said(
    studio: Studio, gateway: Gateway, status: int, href: str | None
) -> None:
    gateway.statuses = {"training": status, "stream": status}
    last = (await rest_of(studio))[-1]
    assert last.startswith("event: lost\n")
    assert json.loads(last.split("data: ")[1])["href"] == href


async def test_a_gateway_that_is_away_ends_the_stream_so_that_the_browser_comes_again(
    studio: Studio, gateway: Gateway
) -> None:
    gateway.statuses = {"training": 503, "stream": 503}
    assert await rest_of(studio) == ["retry: 1000\n\n"]


async def test_a_part_that_cannot_be_drawn_ends_in_a_message(studio: Studio, gateway: Gateway) -> None:
    gateway.training = {"status": "training"}
    last = (await rest_of(studio))[-1]
    assert "Reload it" in last


async def test_a_stopping_studio_ends_its_streams_without_saying_that_the_job_has_ended(studio: Studio) -> None:
    pages = [asyncio.create_task(rest_of(studio)) for _ in range(3)]
    await poll_until(lambda: len(studio.streams) == 3)
    studio.streams.end()
    for messages in await asyncio.gather(*pages):
        assert not any(message.startswith(("event: end", "event: lost")) for message in messages)
    assert not studio.streams
    assert await rest_of(studio) == ["retry: 1000\n\n"]


async def test_what_runs_is_drawn_again_as_time_goes_by(
    studio: Studio, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fluxline_studio.live.TICK_S", 0.05)
    now = datetime.now(UTC).isoformat()
    stages = [stage | {"started_at": now} if stage["status"] == "running" else stage for stage in TRAINING["stages"]]
    gateway.training = TRAINING | {"created_at": now, "stages": stages}
    drawn = 0
    async with asyncio.timeout(10), aclosing(fragments(studio, KEY, ID, Told())) as messages:
        async for message in messages:
            drawn += "job-stages" in message
            if drawn > 1:
                break


async def test_who_is_signed_out_is_told_so_by_a_message_since_a_stream_hears_no_status(studio: Studio) -> None:
    settings = StudioSettings(secret="s" * 32, _env_file=None)  # type: ignore[call-arg, arg-type]
    transport = httpx.ASGITransport(make_app(settings))
    async with httpx.AsyncClient(transport=transport, base_url="http://studio.test") as browser:
        answer = await browser.get(f"/trainings/{ID}/live", headers={"Accept": "text/event-stream"})
    assert (answer.status_code, answer.headers["content-type"].partition(";")[0]) == (200, "text/event-stream")
    assert f"/sign-in?next=%2Ftrainings%2F{ID}" in answer.text


def test_the_waterfall_reaches_to_now_and_shows_the_waiting_between_stages() -> None:
    now = datetime(2026, 11, 25, 10, 1, 40, tzinfo=UTC)
    archive, training, upload = waterfall(TRAINING, now)
    assert (archive.start, archive.width, archive.seconds) == (0, 25, 25)
    assert (training.start, training.width, training.seconds) == (50, 50, 50)
    assert (upload.width, upload.seconds) == (0, None)
    assert elapsed_s(TRAINING, now) == 100
    assert elapsed_s(TRAINING | {"status": "failed"}, now) == 25


def test_a_log_goes_on_where_its_bars_have_moved() -> None:
    told = Told()
    for number, tail in enumerate((["a", "bar 10 %"], ["a", "bar 100 %", "b"], ["bar 100 %", "b", "c"], ["x"]), 1):
        told.add({"id": number, "type": "training.progressed", "data": {"log_tail": tail}})
    assert list(told.provider_log) == ["a", "bar 100 %", "b", "c", "x"]


@pytest.mark.parametrize(
    ("event", "line"),
    [
        ({"type": "zip.progressed", "data": {"done": 2, "total": 6}}, "Preparing photos · 2 of 6 photos"),
        (
            {"type": "training.progressed", "data": {"step": 240, "steps": 1000, "loss": 0.4794}},
            "Training · step 240 of 1000, loss 0.479",
        ),
        ({"type": "stage.started", "stage": "zip_creation", "attempt": 2}, "Archive: begun · attempt 2"),
        (
            {"type": "stage.failed", "stage": "zip_creation", "category": "network", "data": {"message": "gone"}},
            "Archive: failed · Connection, gone",
        ),
        ({"type": "something.newer", "stage": None, "data": None}, "something.newer"),
    ],
    ids=["photos", "steps", "attempt", "failure", "unknown"],
)
def test_events_are_told_in_words(event: dict[str, Any], line: str) -> None:
    assert said(event) == line
