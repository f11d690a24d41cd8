"""An answer that goes on for hours, at the price of a plain ASGI application.

A route begins it with `EventStream` like any other answer: whatever a request passes on its way in and out is passed
then, and let go of. What follows is sent by `call_then_stream`, around everything, which also watches the client: it
is a disconnect that ends most streams, and a server that stops waits for all of them.
"""

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing
from typing import Any, Final

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from fluxline.runtime.logs import get_logger

SEND_TIMEOUT_S: Final = 30.0
"""How long a client may take no byte before it is dropped; it reconnects and replays."""
MAX_BODY_BYTES: Final = 64 * 1024
"""Of what a client may send while it listens: nothing is expected, and whoever sends more is let go."""
_FOLLOWS: Final = "fluxline.stream"
Messages = AsyncGenerator[bytes]

log = get_logger(__name__)


class _TooSlow(Exception):
    """The client has taken nothing for too long."""


class EventStream(Response):
    """Begins the answer, and leaves the messages to `call_then_stream`."""

    media_type = "text/event-stream"

    def __init__(self, messages: Messages) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self.messages = messages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send status and headers; for those around, it is an answer that has come to its end."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        scope[_FOLLOWS] = self.messages
        await send({"type": "http.response.body", "body": b""})


async def call_then_stream(
    app: ASGIApp, scope: Scope, receive: Receive, send: Send, *, send_timeout_s: float = SEND_TIMEOUT_S
) -> None:
    """Have `app` answer; of an `EventStream`, send the messages until they end or the client leaves or lags."""
    messages = await _begun(app, scope, receive, send)
    if messages is None:
        return
    async with aclosing(messages):
        try:
            await _while_listening(receive, _send_all(messages, send, send_timeout_s))
        except _TooSlow:
            log.info("live.client_too_slow", path=scope["path"])


async def _begun(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> Messages | None:
    """The messages that are to follow; their answer has begun, and has no end yet."""

    async def send_beginning(message: Any) -> None:
        if _FOLLOWS not in scope:
            await send(message)

    await app(scope, receive, send_beginning)
    messages: Messages | None = scope.pop(_FOLLOWS, None)
    return messages


async def _while_listening(receive: Receive, sending: Coroutine[Any, Any, None]) -> None:
    """Send, and stop when the client leaves."""
    me = asyncio.current_task()
    assert me is not None  # noqa: S101  # a coroutine that runs has a task
    listening, has_left = asyncio.create_task(_left(receive)), False

    def stop(_: object) -> None:
        nonlocal has_left
        has_left = me.cancel()

    listening.add_done_callback(stop)
    try:
        await sending
    except asyncio.CancelledError:
        if not has_left or me.uncancel():  # somebody else wants this to end, too
            raise
    finally:
        listening.remove_done_callback(stop)
        listening.cancel()


async def _left(receive: Receive) -> None:
    received = 0
    while received <= MAX_BODY_BYTES:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        received += len(message.get("body", b""))


async def _send_all(messages: Messages, send: Send, timeout_s: float) -> None:
    async for message in messages:
        try:
            async with asyncio.timeout(timeout_s):
                await send({"type": "http.response.body", "body": message, "more_body": True})
        except TimeoutError as error:
            raise _TooSlow from error
        del message  # the next one may be hours away
    await send({"type": "http.response.body", "body": b""})
