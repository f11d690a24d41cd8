"""The debug proxy: the owner's view of what the collector knows, and a plain word when it does not answer."""

import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse, Response

from fluxline.postgres.pool import Database
from fluxline_gateway.deps import Gateway

from .jobs import ClientOf, order_of

PATHS = ("/debug", "/debug/timeline", "/debug/export")
LINES = '{"id": 1}\n{"id": 2}\n'


@pytest.fixture
async def training(client: httpx.AsyncClient, database: Database) -> str:
    answer = await client.post("/v1/trainings", json=await order_of(database))
    return f"/v1/trainings/{answer.json()['id']}"


@pytest.fixture
async def asked(app: FastAPI, gateway: Gateway) -> AsyncIterator[list[str]]:
    """What a collector was asked; it stands where the gateway's settings say."""
    collector, requests = FastAPI(), list[str]()

    @collector.get("/v1/trainings/{training_id}/{what}")
    async def answer(request: Request, training_id: str, what: str) -> Response:
        query = f"?{request.url.query}" if request.url.query else ""
        requests.append(f"{request.url.path}{query} {request.headers['authorization']}")
        if what in ("summary", "timeline"):
            return Response(f'{{"training_id": "{training_id}", "newer": 1}}', media_type="application/json")
        return PlainTextResponse(LINES)

    async with standing(app, gateway, httpx.ASGITransport(collector)):
        yield requests


@asynccontextmanager
async def standing(app: FastAPI, gateway: Gateway, transport: httpx.AsyncBaseTransport) -> AsyncIterator[None]:
    """The application with a gateway that reaches the collector over `transport`."""
    async with httpx.AsyncClient(transport=transport) as http:
        app.state.gateway = dataclasses.replace(gateway, http=http)
        yield


async def test_the_owner_sees_the_collectors_summary_timeline_and_export(
    client: httpx.AsyncClient, training: str, asked: list[str]
) -> None:
    for path in ("/debug", "/debug/timeline"):
        answer = await client.get(training + path)
        assert (answer.status_code, answer.json()) == (200, {"training_id": training.split("/")[-1], "newer": 1})
    export = await client.get(f"{training}/debug/export")
    assert (export.status_code, export.text) == (200, LINES)
    assert export.headers["content-type"].startswith("application/x-ndjson")
    assert "attachment" in export.headers["content-disposition"]
    told = ("summary", "timeline", "export?format=ndjson")
    assert asked == [f"{training}/{what} Bearer the collector's token" for what in told]


async def test_the_report_is_a_file_in_which_nothing_runs(
    client: httpx.AsyncClient, training: str, asked: list[str]
) -> None:
    report = await client.get(f"{training}/debug/export", params={"format": "html"})
    assert report.headers["content-type"] == "text/html; charset=utf-8"
    assert report.headers["content-disposition"].endswith('.html"')
    assert report.headers["content-security-policy"].startswith("default-src 'none'")
    assert asked == [f"{training}/export?format=html Bearer the collector's token"]
    assert (await client.get(f"{training}/debug/export", params={"format": "pdf"})).status_code == 422


async def test_nobody_elses_training_reaches_the_collector(
    client_of: ClientOf, training: str, asked: list[str]
) -> None:
    async with client_of("eve") as eve:
        for path in PATHS:
            assert (await eve.get(training + path)).status_code == 404
    assert asked == []


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("status", "expected"), [(404, 404), (401, 503), (500, 503)])
async def test_a_collector_that_does_not_know_or_refuses_is_said_plainly(
    app: FastAPI, gateway: Gateway, client: httpx.AsyncClient, training: str, path: str, status: int, expected: int
) -> None:
    async with standing(app, gateway, httpx.MockTransport(lambda _: httpx.Response(status))):
        answer = await client.get(training + path)
    assert answer.status_code == expected
    assert answer.json()["hint"]


@pytest.mark.parametrize("path", PATHS)
async def test_a_collector_that_is_down_is_an_outage_of_the_debug_data_alone(
    client: httpx.AsyncClient, training: str, path: str
) -> None:
    answer = await client.get(training + path)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert "training itself is not affected" in answer.json()["hint"]
    assert (await client.get(training)).status_code == 200
