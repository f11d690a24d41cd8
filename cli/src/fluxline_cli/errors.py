"""Why a call to the gateway failed, as the gateway tells it (RFC 9457), or why there was no answer."""

from collections.abc import Sequence
from typing import Any

import httpx

from fluxline.runtime.redaction import redact_text


class ApiProblem(Exception):
    """The gateway refused; `hint` is what a person does about it, `errors` the fields that are wrong."""

    def __init__(self, status: int, title: str, detail: str = "", **more: Any) -> None:
        super().__init__(detail or title)
        self.status = status
        self.title = title
        self.category: str | None = more.get("category")
        self.hint: str = more.get("hint") or ""
        self.errors: list[dict[str, Any]] = more.get("errors") or []

    @property
    def lines(self) -> list[str]:
        """One line for each field that is wrong."""
        return [
            f"{error.get('field') or error.get('pointer') or ''}: {error.get('message', '')}" for error in self.errors
        ]


class Unreachable(Exception):
    """The gateway does not answer."""

    def __init__(self, url: str) -> None:
        super().__init__(f"the gateway at {url} does not answer")
        self.hint = "start it with `fluxline up`, or set FLUXLINE_URL and FLUXLINE_API_KEY to one that runs"


class QueueUnreachable(Exception):
    """NATS does not answer."""

    def __init__(self, servers: Sequence[str]) -> None:
        super().__init__(f"NATS at {', '.join(map(redact_text, servers))} does not answer")
        self.hint = "start it with `fluxline up`, or set NATS_URL to a server that runs"


class TrainingFailed(Exception):
    """A training or generation did not end well; `error` is what its representation says."""

    def __init__(self, what: str, error: dict[str, Any] | None) -> None:
        super().__init__(f"the {what} did not end well")
        self.error = error or {}


class Usage(Exception):
    """The command cannot do what was asked; the message says what to change."""


def problem_of(response: httpx.Response) -> ApiProblem:
    """The problem document of an answer, whatever its body is."""
    try:
        body = response.json()
    except ValueError:
        body = {}
    if not isinstance(body, dict):
        body = {}
    title = str(body.pop("title", "") or response.reason_phrase or f"status {response.status_code}")
    body.pop("status", None)
    return ApiProblem(response.status_code, title, str(body.pop("detail", "") or ""), **body)
