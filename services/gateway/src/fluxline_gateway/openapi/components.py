"""What the calls of the OpenAPI document share: headers, and the error answers that most of them can end with."""

from collections.abc import Mapping
from typing import Any, Final

from fluxline_gateway import examples
from fluxline_gateway.openapi.names import Document
from fluxline_gateway.openapi.problems import problem_answer

_TEXT: Final = {"type": "string"}


def _header(description: str, example: object, schema: Mapping[str, Any] = _TEXT) -> Document:
    return {"description": description, "schema": dict(schema), "example": example}


HEADERS: Final[Mapping[str, Document]] = {
    "Cache-Control": _header("whether and for how long the answer may be kept", "private, no-cache"),
    "Content-Range": _header(
        "which part of the file this is; its size alone when there is no such part", "bytes */2048"
    ),
    "ETag": _header("names this version of the answer: send it in If-None-Match", '"5d41402abc4b2a76b9719d911017c592"'),
    "Idempotent-Replayed": _header("`true` when this is the answer to an earlier request of the same key", "true"),
    "Link": _header('the next page, with `rel="next"` (RFC 8288)', '</v1/images?cursor=WyIyMDI2Il0>; rel="next"'),
    "Location": _header("where it can be read from now on", f"/v1/trainings/{examples.TRAINING_ID}"),
    "RateLimit": _header("requests left, and seconds until there are more", '"default";r=1199;t=1'),
    "RateLimit-Policy": _header("requests allowed in a window of seconds", '"default";q=1200;w=60'),
    "Retry-After": _header("seconds to wait before sending it again", 5, {"type": "integer"}),
    "WWW-Authenticate": _header("what is wrong with the credentials (RFC 6750)", 'Bearer error="invalid_token"'),
    "traceparent": _header(
        "the trace that the request belongs to (W3C)", f"00-{examples.TRACE_ID}-00f067aa0ba902b7-01"
    ),
}
"""Components; the example of each is what it looks like."""

SHARED: Final[Mapping[int, tuple[str, str]]] = {
    400: ("Malformed", "The body cannot be read"),
    401: ("Unauthorized", "No API key, or none that is valid"),
    403: ("Forbidden", "The key lacks a scope: `read` for GET, `write` for everything else, `admin` for /v1/admin"),
    404: ("NotFound", "There is no such thing, or it is somebody else's"),
    408: ("TooSlow", "The body comes too slowly"),
    409: ("InFlight", "A request with this Idempotency-Key is still at work"),
    413: ("TooLarge", "The body is too large"),
    422: ("NotValid", "The request does not fit; `errors` names the fields"),
    429: ("TooManyRequests", "Too many requests: wait as long as `Retry-After` says"),
    503: ("Unavailable", "Something that the call needs does not answer: try again"),
}
"""Answers that calls share: what they are called among the components, and when they come."""
_WAITS: Final = (429, 503)
_CHALLENGES: Final = (401, 403)
_COUNTED: Final = (402, 403, 404, 409, 422, 429)
NOT_STORED: Final[Document] = {
    "headers": {"Cache-Control": _header("a secret: it must not be kept on its way", "no-store")}
}
"""Of an answer that holds a secret, for its route's `responses`; it has no ETag."""


def components() -> Document:
    """Headers, and the error answers that most calls share."""
    shared = {
        name: problem_answer(status, text) | {"headers": references(headers_of_error(status))}
        for status, (name, text) in SHARED.items()
    }
    shared["Problem"] = problem_answer(500, "Any other error") | {"headers": references(["traceparent"])}
    return {"headers": {name: dict(header) for name, header in HEADERS.items()}, "responses": shared}


def headers_of_error(status: int) -> list[str]:
    """The names of the headers that come with such an answer."""
    names = ["traceparent"]
    if status in _WAITS:
        names.append("Retry-After")
    if status == 416:
        names += ["Content-Range", "RateLimit", "RateLimit-Policy"]
    if status in _CHALLENGES:
        names.append("WWW-Authenticate")
    if status in _COUNTED:
        names += ["RateLimit", "RateLimit-Policy"]
    return sorted(names)


def references(names: list[str]) -> Document:
    """The `headers` of an answer."""
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}
