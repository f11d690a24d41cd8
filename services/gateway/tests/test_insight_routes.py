"""Questions across all trainings: for operators alone, passed on to the debug-collector as they are asked."""

import dataclasses
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI

from fluxline_gateway.deps import Gateway

from .bearers import caller
from .documented import CALLS, JSON, Call, complaints

PREFIX = "/v1/admin/insights"
QUESTIONS = [call for call in CALLS if call.path.startswith(PREFIX)]
each_question = pytest.mark.parametrize("call", QUESTIONS, ids=lambda call: call.name)


def shown(call: Call) -> dict[str, object]:
    """The answer that the document shows."""
    [example] = call.successes[200]["content"][JSON]["examples"].values()
    answer: dict[str, object] = example["value"]
    return answer


@pytest.fixture
async def asked(app: FastAPI, gateway: Gateway) -> AsyncIterator[list[httpx.URL]]:
    """What a collector was asked; it answers what the document shows, with a next page."""
    questions: list[httpx.URL] = []

    def answer(request: httpx.Request) -> httpx.Response:
        questions.append(request.url)
        if request.url.params.get("cursor") == "bad":
            return httpx.Response(422, json={"detail": "The cursor is not one of this list."})
        [call] = [call for call in QUESTIONS if call.path == f"/v1/admin{request.url.path.removeprefix('/v1')}"]
        return httpx.Response(200, json=shown(call) | {"next_cursor": "further"})

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        app.state.gateway = dataclasses.replace(gateway, http=http)
        yield questions


def test_there_are_six_questions() -> None:
    assert sorted(call.path.removeprefix(f"{PREFIX}/") for call in QUESTIONS) == [
        "costs", "failures", "jobs", "providers", "retries", "stages",
    ]  # fmt: skip


@each_question
async def test_a_question_reaches_the_collector_with_all_that_was_given(
    app: FastAPI, asked: list[httpx.URL], call: Call
) -> None:
    given = call.parameters("query")
    async with caller(app, "ada", "admin") as client:
        answer = await client.get(call.path, params=given)
    assert answer.status_code == 200, answer.text
    assert answer.json() == shown(call) | {"next_cursor": "further"}
    assert complaints(answer.json(), call.successes[200]["content"][JSON]["schema"]) == []
    assert "cursor=further" in answer.headers["link"]
    [url] = asked
    assert url.path == call.path.replace("/admin", "")
    sent = dict(url.params)
    assert sent.pop("since") == given.pop("since").replace("Z", "+00:00")
    assert sent.pop("until") == given.pop("until").replace("Z", "+00:00")
    assert sent == {name: str(value).lower() if value is False else str(value) for name, value in given.items()}


@each_question
async def test_only_operators_ask_about_everybody(app: FastAPI, asked: list[httpx.URL], call: Call) -> None:
    async with caller(app, "ada", "read", "write") as client:
        assert (await client.get(call.path)).status_code == 403
    assert asked == []


async def test_what_the_collector_refuses_is_said_with_its_reason(app: FastAPI, asked: list[httpx.URL]) -> None:
    async with caller(app, "ada", "admin") as client:
        answer = await client.get(f"{PREFIX}/jobs", params={"cursor": "bad"})
        assert (await client.get(f"{PREFIX}/jobs", params={"sort": "best"})).status_code == 422
    assert answer.status_code == 422
    assert answer.json()["errors"] == [{"field": "query", "message": "The cursor is not one of this list."}]
    assert len(asked) == 1


async def test_without_a_collector_there_are_no_insights(app: FastAPI) -> None:
    async with caller(app, "ada", "admin") as client:
        answer = await client.get(f"{PREFIX}/stages")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert answer.json()["hint"]
