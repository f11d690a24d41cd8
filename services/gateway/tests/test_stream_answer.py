"""An answer that goes on for hours: begun like any other, then alone with its client."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from starlette.types import Message, Receive, Scope, Send

from fluxline.postgres.pool import Database
from fluxline.runtime.telemetry import make_tracer_provider
from fluxline_gateway.api import make_app
from fluxline_gateway.app import routers
from fluxline_gateway.deps import Gateway
from fluxline_gateway.identity import keys
from fluxline_gateway.live import routes, stream_answer
from fluxline_gateway.live.stream_answer import EventStream, call_then_stream

from .bearers import bearer_of
from .jobs import order_of


class Connection:
    """A client's end of one request: what it was sent, and when it leaves."""

    def __init__(self, body: bytes = b"") -> None:
        self.sent: list[Message] = []
        self.begun, self.leaves = asyncio.Event(), asyncio.Event()
        self._body: list[Message] = [{"type": "http.request", "body": body, "more_body": bool(body)}]

    async def receive(self) -> Message:
        if self._body:
            return self._body.pop()
        await self.leaves.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.sent.append(message)
        if message["type"] == "http.response.body":
            self.begun.set()

    async def stream(self, messages: AsyncGenerator[bytes], **options: Any) -> None:
        """Ask for a stream of these, and wait for its end."""

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await EventStream(messages)(scope, receive, send)

        async with asyncio.timeout(10):
            await call_then_stream(app, {"type": "http", "path": "/"}, self.receive, self.send, **options)


class Endless:
    """Messages that never end, and whether they were let go of."""

    def __init__(self) -> None:
        self.closed = False

    async def messages(self) -> AsyncGenerator[bytes]:
        try:
            yield b"event: snapshot\n\n"
            await asyncio.Event().wait()
        finally:
            self.closed = True


@pytest.fixture
def endless() -> Endless:
    return Endless()


async def three() -> AsyncGenerator[bytes]:
    for number in (b"1", b"2", b"3"):
        yield number


async def test_the_messages_follow_the_head_and_the_end_follows_them() -> None:
    client = Connection()
    await client.stream(three())
    start, *bodies = client.sent
    headers = dict(start["headers"])
    assert (start["status"], headers[b"content-type"]) == (200, b"text/event-stream; charset=utf-8")
    assert b"content-length" not in headers
    assert [(body["body"], body.get("more_body", False)) for body in bodies] == [
        *((number, True) for number in (b"1", b"2", b"3")),
        (b"", False),
    ]


async def test_another_answer_passes_as_it_is() -> None:
    client = Connection()

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    await call_then_stream(app, {"type": "http", "path": "/"}, client.receive, client.send)
    assert [message.get("body") for message in client.sent] == [None, b"a", b""]


async def test_what_a_request_passes_is_let_go_of_before_the_first_message() -> None:
    client, order = Connection(), list[str]()

    async def messages() -> AsyncGenerator[bytes]:
        order.append("message")
        yield b"1"

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await EventStream(messages())(scope, receive, send)
        finally:
            order.append("let go")

    await call_then_stream(app, {"type": "http", "path": "/"}, client.receive, client.send)
    assert order == ["let go", "message"]


async def test_a_client_that_leaves_ends_the_stream_and_frees_what_it_held(endless: Endless) -> None:
    client = Connection()
    streaming = asyncio.create_task(client.stream(endless.messages()))
    await client.begun.wait()
    client.leaves.set()
    await streaming
    assert endless.closed
    assert client.sent[-1]["body"] == b"event: snapshot\n\n"  # no end for who is not there
    assert len(asyncio.all_tasks()) == 1


async def test_a_client_that_keeps_sending_is_let_go(endless: Endless) -> None:
    client = Connection(body=b"x" * (stream_answer.MAX_BODY_BYTES + 1))
    await client.stream(endless.messages())
    assert endless.closed


async def test_a_client_that_takes_nothing_is_dropped(endless: Endless) -> None:
    client = Connection()

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            await asyncio.Event().wait()

    client.send = send  # type: ignore[method-assign]
    await client.stream(endless.messages(), send_timeout_s=0.01)
    assert endless.closed


async def test_a_server_that_stops_ends_the_stream(endless: Endless) -> None:
    client = Connection()
    streaming = asyncio.create_task(client.stream(endless.messages()))
    await client.begun.wait()
    streaming.cancel()
    with pytest.raises(asyncio.CancelledError):
        await streaming
    assert endless.closed
    assert len(asyncio.all_tasks()) == 1


async def test_what_is_wrong_with_the_messages_is_the_servers_to_hear() -> None:
    async def failing() -> AsyncGenerator[bytes]:
        yield b"1"
        raise TimeoutError("PostgreSQL")

    with pytest.raises(TimeoutError, match="PostgreSQL"):
        await Connection().stream(failing())


@pytest.fixture
def stream_of(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], AsyncGenerator[bytes]]], None]:
    """Puts other messages in the place of those of a training."""

    def put(messages: Callable[[], AsyncGenerator[bytes]]) -> None:
        monkeypatch.setattr(routes, "live_stream", lambda *_: messages())

    return put


async def stream_in(app: FastAPI, database: Database) -> httpx.Response:
    """The whole stream of a new training."""
    key, _ = await keys.create(database.pool, "ada")
    async with bearer_of(app, key) as client:
        made = await client.post("/v1/trainings", json=await order_of(database))
        return await client.get(f"/v1/trainings/{made.json()['id']}/events")


async def test_a_stream_has_the_headers_of_every_answer(
    app: FastAPI, database: Database, stream_of: Callable[[Any], None]
) -> None:
    stream_of(three)
    answer = await stream_in(app, database)
    assert (answer.status_code, answer.text) == (200, "123")
    for name in ("RateLimit", "RateLimit-Policy", "traceparent", "Content-Security-Policy", "X-Accel-Buffering"):
        assert answer.headers[name]
    assert answer.headers["cache-control"] == "no-store"


async def test_a_refused_stream_is_a_problem_document(
    client: httpx.AsyncClient, stream_of: Callable[[Any], None]
) -> None:
    stream_of(three)
    answer = await client.get(f"/v1/trainings/{uuid4()}/events")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


async def test_the_span_of_a_stream_ends_when_it_begins_and_is_no_error(
    gateway: Gateway, database: Database, stream_of: Callable[[Any], None]
) -> None:
    spans, provider = InMemorySpanExporter(), make_tracer_provider("gateway", None)
    provider.add_span_processor(SimpleSpanProcessor(spans))
    ended: list[str] = []

    async def messages() -> AsyncGenerator[bytes]:
        ended.extend(span.name for span in spans.get_finished_spans())
        yield b"1"

    stream_of(messages)
    app = make_app(gateway, routers(gateway.storage), probes={}, tracer_provider=provider)
    await stream_in(app, database)
    name = "GET /v1/trainings/{training_id}/events"
    assert name in ended
    [span] = [span for span in spans.get_finished_spans() if span.name == name]
    assert span.status.is_unset
    assert (span.attributes or {})["http.response.status_code"] == 200
