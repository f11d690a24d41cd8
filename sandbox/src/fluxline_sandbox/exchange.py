"""One request on the wire, and the ways in which its answer can go wrong."""

import asyncio
import json
from contextlib import suppress

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fluxline_sandbox.alteration import Alteration
from fluxline_sandbox.faults import Fault

_FLIPPED_BYTES = 64


class Exchange:
    """One request and its answer, with the ways to spoil it."""

    def __init__(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        self._app, self._scope, self._receive, self._send = app, scope, receive, send
        self.status: int | None = None

    async def send(self, message: Message) -> None:
        """Pass a message on and remember the status the client was told."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
        await self._send(message)

    async def answer(self, through: Send | None = None) -> None:
        """Let the application answer, through another `send` when one is given."""
        await self._app(self._scope, self._receive, through or self.send)

    async def refuse(self, fault: Fault) -> None:
        """Answer with a status, nothing has happened."""
        body = fault.body if fault.body is not None else {"detail": "planned fault", "status": fault.code}
        payload = (body if isinstance(body, str) else json.dumps(body)).encode()
        headers = {"content-type": "application/json", **{k.lower(): v for k, v in fault.headers.items()}}
        headers["content-length"] = str(len(payload))
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        await self.send({"type": "http.response.start", "status": fault.code, "headers": raw})
        await self.send({"type": "http.response.body", "body": payload})

    async def hang(self, fault: Fault) -> None:
        """Say nothing until the client leaves or the time is over, then cut the connection."""
        with suppress(TimeoutError):
            async with asyncio.timeout(fault.hang_seconds):
                while (await self._receive())["type"] != "http.disconnect":
                    pass
        await self.cut()

    async def drop_request(self, fault: Fault) -> None:
        """Cut the connection, nothing has happened."""
        await self.cut()

    async def drop_answer(self, fault: Fault) -> None:
        """Let everything happen, then cut the connection without a byte of answer."""

        async def swallow(message: Message) -> None:
            return None

        await self.answer(swallow)
        await self.cut()

    async def corrupt(self, fault: Fault) -> None:
        """Let everything happen, then spoil the body of the answer."""
        spoiler = _Spoiler(self, fault.mode)
        await self.answer(spoiler.send)

    async def alter(self, fault: Fault) -> None:
        """Let everything happen, then say something else."""
        alteration = Alteration(self.send, fault.body, fault.headers)
        await self.answer(alteration.send)

    async def cut(self) -> None:
        """Close the TCP connection under the server.

        ASGI has no word for it: uvicorn's own `receive` is a bound method whose object holds the transport.
        Under another server the answer is announced and never finished, which servers end by closing.
        """
        transport = getattr(getattr(self._receive, "__self__", None), "transport", None)
        if transport is not None:
            transport.abort()
            while (await self._receive())["type"] != "http.disconnect":
                pass
        elif self.status is None:
            await self._send({"type": "http.response.start", "status": 500, "headers": [(b"content-length", b"9")]})
            await self._send({"type": "http.response.body", "body": b"", "more_body": True})


class _Spoiler:
    """Alters one answer as it streams by, without holding it."""

    def __init__(self, exchange: Exchange, mode: str) -> None:
        self._exchange, self._mode = exchange, mode
        self._sent = 0
        self._limit: int | None = None

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            await self._exchange.send(self._start(message))
        else:
            await self._body(message)

    def _start(self, message: Message) -> Message:
        headers = [(name.lower(), value) for name, value in message.get("headers", [])]
        length = int(dict(headers).get(b"content-length", b"0"))
        self._limit = None if self._mode == "flip" else length // 2
        if self._mode == "truncate":
            headers = [pair for pair in headers if pair[0] != b"content-length"]
            headers.append((b"content-length", str(self._limit).encode()))
        return {**message, "headers": headers}

    async def _body(self, message: Message) -> None:
        body, more = bytes(message.get("body", b"")), message.get("more_body", False)
        if self._mode == "flip":
            count = max(0, min(len(body), _FLIPPED_BYTES - self._sent))
            body = bytes(byte ^ 0xFF for byte in body[:count]) + body[count:]
        else:
            body = body[: max(0, (self._limit or 0) - self._sent)]
        self._sent += len(body)
        cutting = self._mode == "cut" and not more
        await self._exchange.send({**message, "body": body, "more_body": more or cutting})
        if cutting:
            await asyncio.sleep(0)
            await self._exchange.cut()
