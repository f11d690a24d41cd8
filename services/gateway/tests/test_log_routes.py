"""A job's log for its owner, everybody's for operators; tracebacks and host names for operators alone."""

import dataclasses
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from fluxline.postgres.pool import Database
from fluxline_gateway.deps import Gateway
from fluxline_gateway.identity import keys

from .conftest import URL
from .jobs import ClientOf, order_of

RECORD = {
    "id": "1764000000000000.42.3",
    "at": "2026-11-25T10:00:00Z",
    "level": "error",
    "logger": "fluxline.runtime.subscription",
    "event": "attempt.failed",
    "service": "publisher",
    "instance": "host-7:1",
    "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
    "fields": {"error": "503", "exception": "Traceback …", "stack_info": "…"},
}


@pytest.fixture
async def training(client: httpx.AsyncClient, database: Database) -> str:
    answer = await client.post("/v1/trainings", json=await order_of(database))
    return f"/v1/trainings/{answer.json()['id']}"


@pytest.fixture
async def asked(app: FastAPI, gateway: Gateway) -> AsyncIterator[list[httpx.URL]]:
    """What a collector was asked; it answers every question with one record."""
    questions: list[httpx.URL] = []

    def answer(request: httpx.Request) -> httpx.Response:
        questions.append(request.url)
        if "bad" in request.url.params.values():
            return httpx.Response(422, json={"detail": "The cursor is not valid."})
        return httpx.Response(200, json={"items": [RECORD], "next_cursor": RECORD["id"]})

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        app.state.gateway = dataclasses.replace(gateway, http=http)
        yield questions


@pytest.fixture
async def operator(app: FastAPI, database: Database) -> AsyncIterator[httpx.AsyncClient]:
    """Ada with a key that may administer."""
    key, _ = await keys.create(database.pool, "ada", scopes=("read", "admin"))
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=URL, headers=headers) as client:
        yield client


async def _only_item(client: httpx.AsyncClient, path: str) -> Any:
    answer = await client.get(path)
    assert answer.status_code == 200, answer.text
    [item] = answer.json()["items"]
    return item


async def test_the_owner_sees_what_happened_and_not_the_insides(
    client: httpx.AsyncClient, training: str, asked: list[httpx.URL]
) -> None:
    item = await _only_item(client, f"{training}/debug/logs")
    assert (item["event"], item["level"], item["service"]) == ("attempt.failed", "error", "publisher")
    assert (item["fields"], item["instance"], item["logger"]) == ({"error": "503"}, None, None)


async def test_an_operator_sees_all_of_it(operator: httpx.AsyncClient, training: str, asked: list[httpx.URL]) -> None:
    for path in (f"{training}/debug/logs", "/v1/admin/logs"):
        item = await _only_item(operator, path)
        assert (item["fields"], item["instance"], item["logger"]) == (
            RECORD["fields"], RECORD["instance"], RECORD["logger"]
        )  # fmt: skip


async def test_filters_and_cursors_are_passed_on(
    client: httpx.AsyncClient, training: str, asked: list[httpx.URL]
) -> None:
    query = "level=warning&service=trainer&q=a%26b&since=2026-11-25T10:00:00Z&limit=7&cursor=1.2.3&order=newest"
    answer = await client.get(f"{training}/debug/logs?{query}")
    [url] = asked
    assert url.path == f"{training}/logs"
    assert dict(url.params) == {
        "level": "warning",
        "service": "trainer",
        "q": "a&b",
        "since": "2026-11-25T10:00:00+00:00",
        "limit": "7",
        "after": "1.2.3",
        "order": "newest",
    }
    assert answer.json()["next_cursor"] == RECORD["id"]
    assert 'rel="next"' in answer.headers["link"]


async def test_what_the_collector_refuses_is_said_with_its_reason(
    client: httpx.AsyncClient, training: str, asked: list[httpx.URL]
) -> None:
    answer = await client.get(f"{training}/debug/logs", params={"cursor": "bad"})
    assert (answer.status_code, answer.json()["errors"][0]["message"]) == (422, "The cursor is not valid.")


async def test_logs_of_others_and_of_all_are_closed_to_owners(
    client: httpx.AsyncClient, client_of: ClientOf, training: str, asked: list[httpx.URL]
) -> None:
    async with client_of("eve") as eve:
        assert (await eve.get(f"{training}/debug/logs")).status_code == 404
        assert (await eve.get("/v1/admin/logs")).status_code == 403
    assert (await client.get("/v1/admin/logs")).status_code == 403
    assert asked == []


async def test_a_collector_that_is_down_is_an_outage_of_the_logs_alone(
    client: httpx.AsyncClient, operator: httpx.AsyncClient, training: str
) -> None:
    for caller, path in ((client, f"{training}/debug/logs"), (operator, "/v1/admin/logs")):
        answer = await caller.get(path)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
