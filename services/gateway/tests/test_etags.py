"""ETags: what a client has already is not sent again, and nothing else is touched."""

import hashlib

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from fluxline.postgres.pool import Database
from fluxline_gateway.etags import ETags

from .jobs import order_of


def answering(response: Response, path: str = "/v1/thing") -> httpx.AsyncClient:
    async def endpoint(_request: object) -> Response:
        return response

    app = ETags(Starlette(routes=[Route(path, endpoint, methods=["GET", "POST"])]))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


async def test_the_tag_is_that_of_the_body() -> None:
    async with answering(JSONResponse({"a": 1})) as client:
        answer = await client.get("/v1/thing")
    assert answer.json() == {"a": 1}
    assert answer.headers["etag"] == f'"{hashlib.sha256(answer.content).hexdigest()[:32]}"'
    assert answer.headers["cache-control"] == "private, no-cache"


@pytest.mark.parametrize("form", ["{}", "W/{}", '"other", {}', "*"])
async def test_who_has_it_gets_304_with_the_same_headers_and_no_body(form: str) -> None:
    async with answering(JSONResponse({"a": 1}, headers={"Link": "</v1/thing?cursor=x>"})) as client:
        first = await client.get("/v1/thing")
        again = await client.get("/v1/thing", headers={"If-None-Match": form.format(first.headers["etag"])})
    assert (again.status_code, again.content) == (304, b"")
    for name in ("etag", "cache-control", "link"):
        assert again.headers[name] == first.headers[name]
    assert "content-length" not in again.headers
    assert "content-type" not in again.headers


async def test_who_has_another_version_gets_this_one() -> None:
    async with answering(JSONResponse({"a": 1})) as client:
        answer = await client.get("/v1/thing", headers={"If-None-Match": '"0123"'})
    assert (answer.status_code, answer.json()) == (200, {"a": 1})


@pytest.mark.parametrize(
    "response",
    [
        JSONResponse({}, status_code=404, media_type="application/problem+json"),
        JSONResponse({}, status_code=202),
        Response("{}", media_type="application/x-ndjson"),
        Response("data: {}\n\n", media_type="text/event-stream"),
        Response(b"\xff", media_type="image/jpeg"),
        JSONResponse({}, headers={"Cache-Control": "no-store"}),
    ],
    ids=["error", "accepted", "lines", "stream", "file", "secret"],
)
async def test_other_answers_pass_as_they_are(response: Response) -> None:
    async with answering(response) as client:
        answer = await client.get("/v1/thing", headers={"If-None-Match": "*"})
    assert (answer.status_code, answer.content) == (response.status_code, response.body)
    assert "etag" not in answer.headers


async def test_an_answer_with_a_tag_of_its_own_keeps_it() -> None:
    async with answering(JSONResponse({}, headers={"ETag": '"mine"', "Cache-Control": "max-age=60"})) as client:
        answer = await client.get("/v1/thing")
    assert (answer.headers["etag"], answer.headers["cache-control"]) == ('"mine"', "max-age=60")


async def test_an_answer_in_parts_is_passed_on_part_by_part() -> None:
    sent: list[str] = []

    async def two_parts(_scope: Scope, _receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"[1,", "more_body": True})
        sent.append("between the parts")
        await send({"type": "http.response.body", "body": b"2]"})

    async def collect(message: dict[str, object]) -> None:
        sent.append(str(message.get("body", message["type"])))

    app: ASGIApp = ETags(two_parts)
    await app({"type": "http", "method": "GET", "path": "/v1/thing", "headers": []}, None, collect)  # type: ignore[arg-type]
    assert sent == ["http.response.start", "b'[1,'", "between the parts", "b'2]'"]


async def test_only_reads_of_the_api_have_tags() -> None:
    async with answering(JSONResponse({})) as client:
        assert "etag" not in (await client.post("/v1/thing")).headers
    async with answering(JSONResponse({}), "/healthz") as client:
        assert "etag" not in (await client.get("/healthz")).headers


async def test_a_stream_of_json_is_no_reason_to_wait() -> None:
    async def lines() -> object:
        yield b"{}"

    async with answering(StreamingResponse(lines(), media_type="application/json")) as client:  # type: ignore[arg-type]
        answer = await client.get("/v1/thing")
    assert (answer.content, "etag" in answer.headers) == (b"{}", False)


async def test_a_list_that_has_not_changed_is_not_sent_again(client: httpx.AsyncClient, database: Database) -> None:
    first = await client.get("/v1/trainings")
    known = {"If-None-Match": first.headers["etag"]}
    assert (await client.get("/v1/trainings", headers=known)).status_code == 304
    assert (await client.post("/v1/trainings", json=await order_of(database))).status_code == 202
    assert (await client.get("/v1/trainings", headers=known)).status_code == 200
