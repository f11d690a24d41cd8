"""Signing in, forged requests, history and the job page, over a gateway that answers what a test says."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from fluxline_studio.app import make_app
from fluxline_studio.job_view import Told, curve
from fluxline_studio.settings import StudioSettings

KEY, ORIGIN = "fl_the-key-of-ada", "http://studio.test"
DOCUMENT = json.loads((Path(__file__).parents[3] / "docs" / "openapi.json").read_text())
TRAINING: dict[str, Any] = DOCUMENT["components"]["schemas"]["Training"]["examples"][0]
HERE = f"/trainings/{TRAINING['id']}"


def event(number: int, **data: Any) -> dict[str, Any]:
    return {
        "id": number, "type": "training.progressed", "occurred_at": "2026-11-25T10:00:00Z",
        "stage": "replicate_training", "category": None, "attempt": 1, "duration_ms": None, "data": data,
    }  # fmt: skip


class Gateway:
    """A double of the gateway: what was asked, and what it answers."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.trainings = [TRAINING]

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(f"{request.method} {request.url.raw_path.decode()}")
        if request.headers["authorization"] != f"Bearer {KEY}":
            return httpx.Response(401, json={"title": "Not signed in"})
        path = request.url.path
        if path == "/v1/me":
            return httpx.Response(200, json={"owner": "ada", "scopes": ["read", "write"]})
        if path == "/v1/trainings":
            return httpx.Response(
                200, json={"items": self.trainings, "next_cursor": "next" if self.trainings else None}
            )
        if path == f"/v1{HERE}/events" and "event-stream" in request.headers["accept"]:
            told = f"id: 3\nevent: training.progressed\ndata: {json.dumps(event(3, step=3, loss=0.1))}\n\n"
            return httpx.Response(
                200, text=told + "event: end\ndata: {}\n\n", headers={"content-type": "text/event-stream"}
            )
        if path == f"/v1{HERE}/events":
            items = [event(1, step=1, loss=0.9), event(2, step=2, loss=0.5, log_tail=["<b>step 2</b>"])]
            return httpx.Response(200, json={"items": items, "next_cursor": None})
        if path.startswith(f"/v1{HERE}"):
            return httpx.Response(200, json=TRAINING)
        return httpx.Response(404, json={"title": "Not found"})


@pytest.fixture
def gateway() -> Gateway:
    return Gateway()


@pytest.fixture
async def browser(gateway: Gateway) -> AsyncIterator[httpx.AsyncClient]:
    settings = StudioSettings(secret="s" * 32, cookie_secure=False, _env_file=None)  # type: ignore[call-arg, arg-type]
    transport = httpx.ASGITransport(make_app(settings, httpx.MockTransport(gateway)))
    async with httpx.AsyncClient(transport=transport, base_url=ORIGIN, headers={"Origin": ORIGIN}) as client:
        yield client


@pytest.fixture
async def ada(browser: httpx.AsyncClient) -> httpx.AsyncClient:
    assert (await browser.post("/sign-in", data={"key": KEY})).status_code == 303
    return browser


async def test_who_is_not_signed_in_is_asked_to_and_led_back(browser: httpx.AsyncClient) -> None:
    assert (await browser.get("/?q=Ada")).headers["location"] == "/sign-in?next=%2F%3Fq%3DAda"
    answer = await browser.post("/sign-in", data={"key": KEY, "next": "/?q=Ada"})
    assert answer.headers["location"] == "/?q=Ada"
    assert KEY not in str(answer.headers)


@pytest.mark.parametrize("elsewhere", ["//evil.test", "https://evil.test", "/\\evil.test"])
async def test_nobody_is_sent_to_another_site(browser: httpx.AsyncClient, elsewhere: str) -> None:
    answer = await browser.post("/sign-in", data={"key": KEY, "next": elsewhere})
    assert answer.headers["location"] == "/"


async def test_a_wrong_key_is_refused_beside_its_field(browser: httpx.AsyncClient) -> None:
    answer = await browser.post("/sign-in", data={"key": "fl_another"})
    assert answer.status_code == 422
    assert 'aria-describedby="key-hint key-error"' in answer.text
    assert "fl_another" not in answer.text


@pytest.mark.parametrize("origin", ["http://evil.test", "null", ""])
async def test_what_another_site_sends_is_refused(ada: httpx.AsyncClient, gateway: Gateway, origin: str) -> None:
    before = len(gateway.asked)
    assert (await ada.post(f"{HERE}/cancel", headers={"Origin": origin})).status_code == 403
    assert len(gateway.asked) == before


async def test_every_page_forbids_inline_scripts(ada: httpx.AsyncClient) -> None:
    for path in ("/", "/sign-in", "/nowhere", HERE):
        assert "default-src 'self'" in (await ada.get(path)).headers["content-security-policy"]


async def test_the_history_keeps_its_filter_on_the_next_page(ada: httpx.AsyncClient, gateway: Gateway) -> None:
    page = await ada.get("/", params={"q": "Ada", "status": "failed"})
    assert gateway.asked[-1] == "GET /v1/trainings?q=Ada&status=failed&limit=20"
    assert "/?q=Ada&amp;status=failed&amp;cursor=next" in page.text


async def test_an_empty_history_says_how_to_begin(ada: httpx.AsyncClient, gateway: Gateway) -> None:
    gateway.trainings = []
    assert "No trainings yet" in (await ada.get("/")).text
    assert "No training fits" in (await ada.get("/?q=x")).text


async def test_the_job_page_escapes_what_a_provider_writes(ada: httpx.AsyncClient) -> None:
    page = await ada.get(HERE)
    assert page.status_code == 200
    assert "&lt;b&gt;step 2&lt;/b&gt;" in page.text
    assert "From 0.900 to 0.500" in page.text


async def test_live_fragments_follow_the_gateway_until_its_end(ada: httpx.AsyncClient) -> None:
    stream = (await ada.get(f"{HERE}/live")).text
    assert "From 0.900 to 0.100" in stream
    assert stream.endswith("event: end\ndata: {}\n\n")


async def test_only_listed_calls_pass_through(ada: httpx.AsyncClient, gateway: Gateway) -> None:
    assert (await ada.get("/api/me")).json()["owner"] == "ada"
    before = len(gateway.asked)
    assert (await ada.get("/api/admin/owners")).status_code == 404
    assert len(gateway.asked) == before


def test_a_known_event_and_overlapping_log_lines_are_taken_once() -> None:
    told = Told()
    told.add(event(1, step=1, loss=1.0, log_tail=["a", "b"]))
    told.add(event(1, step=1, loss=1.0))
    told.add(event(2, step=2, loss=0.5, log_tail=["b", "c"]))
    assert (list(told.provider_log), told.losses) == (["a", "b", "c"], [(1, 1.0), (2, 0.5)])
    assert curve(told.losses[:1]) is None
