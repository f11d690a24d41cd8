"""Stored files over HTTP: streamed, in parts when the client asks for one range (RFC 9110, 14)."""

import re
from collections.abc import Mapping

from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from fluxline.contracts.errors import ErrorCategory
from fluxline.storage import Storage
from fluxline_gateway.errors import ApiError

_RANGE = re.compile(r"bytes=(?:(\d{1,18})-(\d{0,18})|-(\d{1,18}))", re.ASCII)
_SAFE = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
}
"""What was uploaded is data: no browser may run it as a page of this origin."""


async def stored_file(
    request: Request,
    storage: Storage,
    key: str,
    size_bytes: int,
    *,
    media_type: str,
    etag: str,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The answer to GET or HEAD for a stored file of that size; 206 and 304 where they apply.

    Raises ApiError 416 for a range outside of the file.
    """
    shared = {**_SAFE, "Accept-Ranges": "bytes", "ETag": f'"{etag}"', **(headers or {})}
    if matches(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=shared)
    asked = request.headers.get("range") if request.headers.get("if-range", f'"{etag}"') == f'"{etag}"' else None
    span = byte_range(asked, size_bytes)
    if span is None:
        raise _outside(size_bytes)
    start, length = span
    status = 206 if asked and length < size_bytes else 200
    shared["Content-Length"] = str(length)
    if status == 206:
        shared["Content-Range"] = f"bytes {start}-{start + length - 1}/{size_bytes}"
    if request.method == "HEAD":
        return Response(status_code=status, headers=shared, media_type=media_type)
    chunks = storage.stream(key, offset=start, length=length)
    return StreamingResponse(chunks, status, shared, media_type=media_type)


def _outside(size_bytes: int) -> ApiError:
    return ApiError(
        416,
        "Range not satisfiable",
        category=ErrorCategory.VALIDATION,
        hint=f"Ask for bytes within the file's {size_bytes}, or for all of it without a Range.",
        headers={"Accept-Ranges": "bytes", "Content-Range": f"bytes */{size_bytes}"},
    )


def byte_range(header: str | None, size_bytes: int) -> tuple[int, int] | None:
    """Offset and length to send; None for a range outside the file. What is not one range is no range: all of it."""
    match = _RANGE.fullmatch(header or "")
    if match is None:
        return 0, size_bytes
    first, last, suffix = match.groups()
    if suffix is not None:
        length = min(int(suffix), size_bytes)
        return (size_bytes - length, length) if length else None
    start, end = int(first), min(int(last or size_bytes - 1), size_bytes - 1)
    if last and int(last) < start:
        return 0, size_bytes
    return (start, end - start + 1) if start < size_bytes else None


def matches(if_none_match: str | None, etag: str) -> bool:
    """Whether a client's If-None-Match names this version (weak comparison, RFC 9110, 8.8.3.2)."""
    if not if_none_match:
        return False
    tags = {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}
    return "*" in tags or f'"{etag}"' in tags
