"""A request's text, read before the application reads it."""

from urllib.parse import unquote

from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope

MAX_BYTES = 1 << 20
"""A longer body, or one of unknown length, is not looked into: it is an upload."""


class Reread:
    """Passes a request's messages on, those that were read ahead first.

    `transport` is that of the server's own `receive`, by which a connection is cut.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._ahead: list[Message] = []
        self.transport = getattr(getattr(receive, "__self__", None), "transport", None)

    async def receive(self) -> Message:
        """The next message."""
        return self._ahead.pop(0) if self._ahead else await self._receive()

    async def text(self, scope: Scope) -> str:
        """Path, query and a body that is short enough, percent-decoded."""
        address = f"{scope['path']}?{scope['query_string'].decode(errors='replace')}"
        length = Headers(scope=scope).get("content-length", "")
        body = await self._body() if length.isdecimal() and 0 < int(length) <= MAX_BYTES else b""
        return f"{unquote(address)}\n{body.decode(errors='replace')}\n"

    async def _body(self) -> bytes:
        more = True
        while more:
            message = await self._receive()
            self._ahead.append(message)
            more = message["type"] == "http.request" and message.get("more_body", False)
        return b"".join(message.get("body", b"") for message in self._ahead)
