"""Every error is a problem document with a category and a hint, and never more than the client may know."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

import asyncpg
import httpx
import pytest
from fastapi import FastAPI, Query
from pydantic import BaseModel

from fluxline.contracts.errors import ErrorCategory
from fluxline.postgres.pool import DatabaseUnavailable
from fluxline.storage import ObjectMissing, StorageDenied, StorageUnreachable
from fluxline_gateway.api import MAX_BODY_BYTES
from fluxline_gateway.errors import PROBLEM_JSON, ApiError

TRACE = "0af7651916cd43dd8448eb211c80319c"
SECRET = "the secret in the message"


class Body(BaseModel):
    steps: int
    publish: dict[str, bool]


@pytest.fixture(autouse=True)
def failing_routes(app: FastAPI) -> None:
    failures: dict[str, Exception] = {
        "pool": DatabaseUnavailable("not connected"),
        "connection": asyncpg.ConnectionDoesNotExistError(SECRET),
        "refused": ConnectionRefusedError(SECRET),
        "slow": TimeoutError(),
        "storage": StorageUnreachable(),
        "denied": StorageDenied(),
        "missing": ObjectMissing(),
        "sql": asyncpg.UndefinedColumnError(SECRET),
        "bug": ZeroDivisionError(SECRET),
        "own": ApiError(409, "Already so", category=ErrorCategory.VALIDATION, hint="Wait.", headers={"X-Own": "1"}),
    }

    async def fail(kind: str) -> None:
        raise failures[kind]

    async def take(body: Body, limit: Annotated[int, Query(le=5)] = 1) -> str:
        return "taken"

    app.add_api_route("/fail/{kind}", fail)
    app.add_api_route("/take", take, methods=["POST"])


async def problem_of(client: httpx.AsyncClient, kind: str) -> tuple[httpx.Response, dict[str, object]]:
    answer = await client.get(f"/fail/{kind}")
    assert answer.headers["content-type"] == PROBLEM_JSON
    assert SECRET not in answer.text
    assert "Traceback" not in answer.text
    problem = answer.json()
    assert problem["status"] == answer.status_code
    assert problem["type"].startswith("urn:fluxline:problem:")
    assert problem["instance"] == f"/fail/{kind}"
    assert problem["hint"]
    return answer, problem


@pytest.mark.parametrize("kind", ["pool", "connection", "refused", "slow", "storage", "denied"])
async def test_an_outage_is_503_with_the_time_to_come_back(anonymous: httpx.AsyncClient, kind: str) -> None:
    answer, problem = await problem_of(anonymous, kind)
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    assert problem["category"] == ("authentication" if kind == "denied" else "network")


@pytest.mark.parametrize("kind", ["sql", "bug"])
async def test_a_bug_is_500_without_details(anonymous: httpx.AsyncClient, kind: str) -> None:
    answer, problem = await problem_of(anonymous, kind)
    assert answer.status_code == 500
    assert problem["category"] == "internal"
    assert "detail" not in problem
    assert answer.headers["traceparent"]


async def test_an_error_of_ours_is_told_as_it_is(anonymous: httpx.AsyncClient) -> None:
    answer, problem = await problem_of(anonymous, "own")
    assert (answer.status_code, problem["title"], problem["hint"]) == (409, "Already so", "Wait.")
    assert problem["type"] == "urn:fluxline:problem:already-so"
    assert answer.headers["x-own"] == "1"


async def test_something_that_vanished_from_storage_is_404(anonymous: httpx.AsyncClient) -> None:
    answer, problem = await problem_of(anonymous, "missing")
    assert (answer.status_code, problem["category"]) == (404, "file_error")


async def test_each_wrong_field_is_named_without_repeating_it(anonymous: httpx.AsyncClient) -> None:
    answer = await anonymous.post("/take?limit=9", json={"steps": SECRET, "publish": {"private": "maybe"}})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == PROBLEM_JSON
    assert {error["field"] for error in answer.json()["errors"]} == {"limit", "steps", "publish.private"}
    assert all(error["message"] for error in answer.json()["errors"])
    assert SECRET not in answer.text


async def test_broken_json_is_422(anonymous: httpx.AsyncClient) -> None:
    answer = await anonymous.post("/take", content=b'{"steps": ', headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["errors"] == [{"field": "body", "message": "JSON decode error"}]


async def test_an_unknown_path_and_a_wrong_method_are_problems_too(anonymous: httpx.AsyncClient) -> None:
    unknown, wrong = await anonymous.get("/v1/nothing"), await anonymous.delete("/v1/me")
    assert (unknown.status_code, wrong.status_code) == (404, 405)
    for answer in (unknown, wrong):
        assert answer.headers["content-type"] == PROBLEM_JSON
        assert answer.json()["category"] == "validation"
    assert "GET" in wrong.headers["allow"]


async def test_a_body_that_is_too_large_is_refused_however_it_is_sent(anonymous: httpx.AsyncClient) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(MAX_BODY_BYTES // 65536 + 2):
            await asyncio.sleep(0)
            yield b" " * 65536

    declared = await anonymous.post("/take", content=b" " * (MAX_BODY_BYTES + 1))
    chunked = await anonymous.post("/take", content=pieces())
    for answer in (declared, chunked):
        assert answer.status_code == 413
        assert answer.headers["content-type"] == PROBLEM_JSON


async def test_a_trace_is_continued_and_named_in_the_answer(anonymous: httpx.AsyncClient) -> None:
    answer = await anonymous.get("/v1/limits", headers={"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"})
    assert answer.headers["traceparent"].split("-")[1] == TRACE
    started = await anonymous.get("/v1/limits")
    assert started.headers["traceparent"].split("-")[1] != TRACE


async def test_the_document_describes_errors_as_problems(anonymous: httpx.AsyncClient) -> None:
    document = (await anonymous.get("/openapi.json")).json()
    assert document["openapi"].startswith("3.1")
    assert "HTTPValidationError" not in document["components"]["schemas"]
    assert PROBLEM_JSON in document["components"]["responses"]["Problem"]["content"]
    for path in document["paths"].values():
        for operation in path.values():
            assert operation["responses"]["default"] == {"$ref": "#/components/responses/Problem"}
            assert operation["operationId"]
    assert (await anonymous.get("/docs")).status_code == 200
