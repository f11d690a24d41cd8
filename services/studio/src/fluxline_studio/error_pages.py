"""Errors as pages for people, and as problem documents for the pages' own scripts."""

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse
from starlette.exceptions import HTTPException

from fluxline.runtime.logs import get_logger
from fluxline_studio import texts
from fluxline_studio.deps import SignInNeeded, render, studio_of
from fluxline_studio.gateway import GatewayProblem
from fluxline_studio.guards import HEADERS
from fluxline_studio.live import FINAL, lost

log = get_logger(__name__)


def add_error_pages(app: FastAPI) -> None:
    """Bind every kind of error to its page."""
    app.add_exception_handler(SignInNeeded, _sign_in)
    app.add_exception_handler(GatewayProblem, _gateway_problem)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _broken)


async def _sign_in(request: Request, error: Exception) -> Response:
    assert isinstance(error, SignInNeeded)  # noqa: S101
    if _is_stream(request):
        return _lost(request, 401)
    if _is_script(request):
        return _document(401, "You are signed out", "Sign in again.")
    return RedirectResponse(error.location, 303)


async def _gateway_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, GatewayProblem)  # noqa: S101
    if _is_stream(request) and error.status in FINAL:
        return _lost(request, error.status)
    if _is_script(request):
        facts = {"title": error.title, "detail": error.detail, "hint": error.hint, "category": error.category}
        facts |= {"status": error.status, "errors": error.errors}  # type: ignore[dict-item]
        return JSONResponse(facts, error.status, media_type="application/problem+json")
    if error.status == 401:
        answer = RedirectResponse("/sign-in", 303)
        studio_of(request).sessions.end(answer)
        return answer
    if error.status == 404:
        return _page(request, 404, texts.errors.not_found, texts.errors.not_found_hint)
    return _page(request, error.status, error.title, " ".join(filter(None, (error.detail, error.hint))))


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    if _is_script(request):
        return _document(error.status_code, str(error.detail), "")
    if error.status_code == 404:
        return _page(request, 404, texts.errors.not_found, texts.errors.not_found_hint)
    return _page(request, error.status_code, str(error.detail), "")


async def _broken(request: Request, error: Exception) -> Response:
    log.error("page.failed", path=request.url.path, error=type(error).__name__)
    if _is_script(request):
        answer = _document(500, texts.errors.broken, texts.errors.broken_hint)
    else:
        answer = _page(request, 500, texts.errors.broken, texts.errors.broken_hint)
    answer.headers.update(HEADERS)  # it is made outside of the guards
    return answer


def _is_script(request: Request) -> bool:
    return request.url.path.startswith("/api/")


def _is_stream(request: Request) -> bool:
    return "text/event-stream" in request.headers.get("accept", "")


def _lost(request: Request, status: int) -> Response:
    """An `EventSource` hears no status: it is told by a message that it has no need to try again."""
    return Response(lost(status, request.url.path.removesuffix("/live")), media_type="text/event-stream")


def _document(status: int, title: str, hint: str) -> Response:
    facts = {"title": title, "hint": hint, "status": status}
    return JSONResponse(facts, status, media_type="application/problem+json")


def _page(request: Request, status: int, title: str, hint: str) -> Response:
    return render(request, "error.html", status_code=status, title=title, hint=hint)
