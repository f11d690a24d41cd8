"""The hub's error answers: `{"error": text}` with `X-Error-Code` and `X-Error-Message`."""

import json
from typing import Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse


class HubError(Exception):
    """A refusal as the hub words it; `code` is the client's `X-Error-Code`."""

    def __init__(self, status: int, message: str, code: str | None = None, **extra: Any) -> None:
        super().__init__(f"{status} {message}")
        self.status = status
        self.body = {"error": message, **extra}
        printable = message.encode("ascii", errors="replace").decode()
        self.headers = {"X-Error-Message": " ".join(printable.split())}
        if code is not None:
            self.headers["X-Error-Code"] = code


async def answer(_: Request, error: HubError) -> Response:
    """Exception handler for `HubError`."""
    return JSONResponse(error.body, error.status, headers=error.headers)


def repo_not_found(authenticated: bool) -> HubError:
    """404 for the owner; a stranger gets the 401 that does not tell missing from private."""
    if authenticated:
        return HubError(404, "Repository not found", "RepoNotFound")
    return HubError(401, "Invalid username or password.", "RepoNotFound")


def entry_not_found() -> HubError:
    """404 for a file that the revision does not have."""
    return HubError(404, "Entry not found", "EntryNotFound")


async def json_body(request: Request) -> dict[str, Any]:
    """The request's JSON object; anything else is a 400."""
    try:
        body = json.loads(await request.body())
    except ValueError as error:
        raise HubError(400, "Invalid JSON body") from error
    if not isinstance(body, dict):
        raise HubError(400, "Invalid JSON body")
    return body
