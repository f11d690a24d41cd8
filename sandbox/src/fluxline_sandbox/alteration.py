"""An answer that says something else than the application does."""

import json
from collections.abc import Mapping
from typing import Any

from starlette.types import Message, Send


class Alteration:
    """Holds one answer back, and sends it with other fields, or as another text, and with more headers.

    An answer that is no JSON object keeps its body when fields are to be replaced.
    """

    def __init__(self, send: Send, body: Mapping[str, Any] | str, headers: Mapping[str, str]) -> None:
        self._send, self._wanted = send, body
        self._headers = {name.lower().encode(): value.encode() for name, value in headers.items()}
        self._start: Message = {}
        self._body = bytearray()

    async def send(self, message: Message) -> None:
        """Take one message of the application's answer."""
        if message["type"] == "http.response.start":
            self._start = message
            return
        self._body += message.get("body", b"")
        if not message.get("more_body", False):
            await self._say(self._altered())

    async def _say(self, body: bytes) -> None:
        headers = {name.lower(): value for name, value in self._start.get("headers", [])} | self._headers
        headers[b"content-length"] = str(len(body)).encode()
        await self._send({**self._start, "headers": list(headers.items())})
        await self._send({"type": "http.response.body", "body": body})

    def _altered(self) -> bytes:
        if isinstance(self._wanted, str):
            return self._wanted.encode()
        try:
            said = json.loads(self._body)
        except ValueError:
            said = None
        return json.dumps({**said, **self._wanted}).encode() if isinstance(said, dict) else bytes(self._body)
