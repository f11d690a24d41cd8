"""Alerts through the gateway: for operators alone, passed on to the debug-collector as they are asked for."""

import dataclasses
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI

from fluxline_gateway.deps import Gateway

from .bearers import caller
from .documented import CALLS, JSON, Call, complaints

PREFIX = "/v1/admin/alerts"
ALERTS = [call for call in CALLS if call.path.startswith(PREFIX)]
each_call = pytest.mark.parametrize("call", ALERTS, ids=lambda call: call.name)


def shown(call: Call) -> dict[str, object]:
    """The answer that the document shows."""
    [example] = call.successes[200]["content"][JSON]["examples"].values()
    answer: dict[str, object] = example["value"]
    return answer


@pytest.fixture
async def asked(app: FastAPI, gateway: Gateway) -> AsyncIterator[list[httpx.Request]]:
    """What a collector was asked; it answers what the document shows."""
    questions: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        questions.append(request)
        path = f"/v1/admin{request.url.path.removeprefix('/v1')}"
        [call] = [call for call in ALERTS if (call.path, call.method) == (path, request.method)]
        return httpx.Response(200, json=shown(call))

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        app.state.gateway = dataclasses.replace(gateway, http=http)
        yield questions


def test_there_are_three_calls() -> None:
    assert sorted(call.name for call in ALERTS) == ["list_alert_rules", "list_alerts", "send_test_alert"]


@each_call
async def test_a_call_reaches_the_collector_with_all_that_was_given(
    app: FastAPI, asked: list[httpx.Request], call: Call
) -> None:
    given = call.parameters("query")
    async with caller(app, "ada", "admin") as client:
        answer = await client.request(call.method, call.path, params=given)
    assert (answer.status_code, answer.json()) == (200, shown(call)), answer.text
    assert complaints(answer.json(), call.successes[200]["content"][JSON]["schema"]) == []
    [request] = asked
    assert (request.method, request.url.path) == (call.method, call.path.replace("/admin", ""))
    assert dict(request.url.params) == {name: str(value) for name, value in given.items()}
    assert request.headers["authorization"].startswith("Bearer ")


@each_call
async def test_only_operators_see_alerts(app: FastAPI, asked: list[httpx.Request], call: Call) -> None:
    async with caller(app, "ada", "read", "write") as client:
        assert (await client.request(call.method, call.path)).status_code == 403
    assert asked == []


async def test_a_page_links_to_the_next_one_and_takes_no_other_cursor(
    app: FastAPI, gateway: Gateway, asked: list[httpx.Request]
) -> None:
    page = {"items": [], "next_cursor": "7"}
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json=page))
    async with httpx.AsyncClient(transport=transport) as http, caller(app, "ada", "admin") as client:
        app.state.gateway = dataclasses.replace(gateway, http=http)
        assert "cursor=7" in (await client.get(PREFIX)).headers["link"]
        for cursor in ("x", "0", str(2**63)):
            assert (await client.get(PREFIX, params={"cursor": cursor})).status_code == 422


@each_call
async def test_without_a_collector_there_is_no_word_of_alerts(app: FastAPI, call: Call) -> None:
    async with caller(app, "ada", "admin") as client:
        answer = await client.request(call.method, call.path)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert answer.json()["hint"]
