"""ETags: a JSON answer that the client has already is not sent again (RFC 9110, 8.8.3 and 13.1.2)."""

import hashlib

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fluxline_gateway.streaming import matches

PREFIX = "/v1/"
REVALIDATE = "private, no-cache"
"""It may be kept by the one who asked, and has to be asked for before it is shown again."""
_OF_THE_BODY = ("content-length", "content-type")


class ETags:
    """Gives JSON answers to GET an ETag, and answers 304 to who names it in If-None-Match.

    Only an answer that comes as one body, so nothing is gathered here; streams and files, whose content is no JSON or
    that have an ETag of their own, and what must not be stored (`no-store`) pass as they are.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on; the start of an answer waits for its body, whose hash it carries."""
        if scope["type"] != "http" or scope["method"] != "GET" or not scope["path"].startswith(PREFIX):
            return await self.app(scope, receive, send)
        known = Headers(scope=scope).get("if-none-match")
        waiting: Message | None = None

        async def send_tagged(message: Message) -> None:
            nonlocal waiting
            if message["type"] == "http.response.start" and _takes_tag(message):
                waiting = message
                return
            if waiting is not None:
                start, waiting = waiting, None
                if not message.get("more_body", False):
                    message = _tagged(start, message, known)
                await send(start)
            await send(message)

        return await self.app(scope, receive, send_tagged)


def _takes_tag(start: Message) -> bool:
    headers = Headers(raw=start["headers"])
    return (
        start["status"] == 200
        and headers.get("content-type", "").partition(";")[0] == "application/json"
        and "etag" not in headers
        and "no-store" not in headers.get("cache-control", "")
    )


def _tagged(start: Message, message: Message, known: str | None) -> Message:
    """Adds the tag to the start of the answer; returns the body to send, which is empty for who has it."""
    etag = hashlib.sha256(message.get("body", b"")).hexdigest()[:32]
    headers = MutableHeaders(scope=start)
    headers["ETag"] = f'"{etag}"'
    headers["Cache-Control"] = REVALIDATE
    if not matches(known, etag):
        return message
    start["status"] = 304
    for name in _OF_THE_BODY:
        del headers[name]
    return {"type": "http.response.body", "body": b""}
