"""Whatever leaves a request's handler becomes a problem document, never a stack trace."""

from collections.abc import Mapping
from http import HTTPStatus

import asyncpg
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match

from fluxline.contracts.errors import ErrorCategory, FluxlineError
from fluxline.postgres.pool import database_error
from fluxline.runtime.envelope import current_trace
from fluxline.runtime.logs import get_logger
from fluxline_gateway.errors import ApiError, FieldError, InvalidFields, render

RETRY_AFTER_S = 5
_BUG_HINT = "This is a bug in fluxline: please report it with the trace id in the traceparent header."
_STATUS = {
    ErrorCategory.VALIDATION: 422,
    ErrorCategory.CONTENT_POLICY: 422,
    ErrorCategory.FILE_ERROR: 404,
    ErrorCategory.INTERNAL: 500,
}
"""What our own errors become when nobody has caught them; everything else is an outage: 503."""
_HINTS = {
    400: "Look at the request's syntax: see /docs for what this call takes.",
    404: "Check the path: all calls are listed at /docs.",
    405: "Use one of the methods in the Allow header.",
    408: "Send it again, on a steadier connection.",
    413: "Send less at once: the limits are at GET /v1/limits.",
}

log = get_logger(__name__)


def install(app: FastAPI) -> None:
    """Make every error that leaves a handler of `app` a problem document."""
    for expected in (ApiError, RequestValidationError, HTTPException, FluxlineError):
        app.add_exception_handler(expected, _on_expected)
    for foreign in (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError):
        app.add_exception_handler(foreign, _on_foreign)
    app.add_exception_handler(ClientDisconnect, _on_disconnect)
    app.add_exception_handler(Exception, _on_unexpected)


def api_error(error: Exception) -> ApiError:
    """Any expected error as the one to answer with: by type, never by its words."""
    match error:
        case ApiError():
            return error
        case RequestValidationError():
            return InvalidFields(*(_field_error(item) for item in error.errors()))
        case HTTPException():
            return _from_http(error)
        case FluxlineError():
            return _from_fluxline(error)
        case _:
            return _internal()


async def _on_expected(request: Request, error: Exception) -> Response:
    answer = api_error(error)
    if answer.status == 405:
        answer.headers["Allow"] = _methods(request)
    if answer.status >= 500:
        trace = error if answer.category is ErrorCategory.INTERNAL else None
        log.error("request.failed", method=request.method, path=request.url.path, error=str(error), exc_info=trace)
    return render(answer, request.url.path)


def _methods(request: Request) -> str:
    """What the path can be called with (RFC 9110, 10.2.1); the framework names the first route's methods only."""
    routes = request.app.routes

    def serves(method: str) -> bool:
        return any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in routes)

    return ", ".join(filter(serves, ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")))


async def _on_foreign(request: Request, error: Exception) -> Response:
    if outage := database_error(error):
        log.warning("request.database_unavailable", path=request.url.path, error=type(error).__name__)
        return render(_from_fluxline(outage), request.url.path)
    return await _on_unexpected(request, error)


async def _on_disconnect(_request: Request, _error: Exception) -> Response:
    return Response(status_code=400)  # nobody reads it


async def _on_unexpected(request: Request, error: Exception) -> Response:
    log.error("request.crashed", method=request.method, path=request.url.path, exc_info=error)
    answer = _internal()
    answer.headers.update(current_trace())
    return render(answer, request.url.path)


def _internal() -> ApiError:
    return ApiError(500, "Internal error", category=ErrorCategory.INTERNAL, hint=_BUG_HINT)


def _from_fluxline(error: FluxlineError) -> ApiError:
    status = _STATUS.get(error.category, 503)
    if status == 500:
        return _internal()
    headers = {"Retry-After": str(int(error.retry_after_s or RETRY_AFTER_S))} if status == 503 else {}
    title = HTTPStatus(status).phrase
    return ApiError(status, title, category=error.category, hint=error.hint, detail=error.message, headers=headers)


def _from_http(error: HTTPException) -> ApiError:
    title = HTTPStatus(error.status_code).phrase
    return ApiError(
        error.status_code,
        title,
        category=ErrorCategory.VALIDATION,
        hint=_HINTS.get(error.status_code, "See /docs for what this call takes."),
        detail=None if error.detail == title else error.detail,
        headers=error.headers,
    )


def _field_error(item: Mapping[str, object]) -> FieldError:
    """A pydantic error without its input: what was sent is not repeated."""
    loc = item["loc"]
    path = [str(part) for part in loc] if isinstance(loc, tuple) else []
    if item["type"] == "json_invalid":
        path = ["body"]
    message = str(item["msg"]).removeprefix("Value error, ")
    return FieldError(field=".".join(path[1:] or path), message=message)
