"""Replicate's refusals, `application/problem+json`, as our errors: by status code, never by their words."""

import json
from typing import Any

import httpx

from fluxline.runtime.redaction import redact_text
from fluxline_trainer.errors import (
    AlreadyExists,
    CreditMissing,
    KeyRefused,
    NotFound,
    ProviderError,
    ProviderFailed,
    ProviderTimeout,
    RequestRefused,
    Throttled,
)

MAX_MESSAGE_CHARS = 500
_BY_STATUS: dict[int, type[ProviderError]] = {
    401: KeyRefused,
    402: CreditMissing,
    403: KeyRefused,
    404: NotFound,
    408: ProviderTimeout,
    409: AlreadyExists,
    429: Throttled,
    504: ProviderTimeout,
}
_DOUBTFUL = (408,)
"""Besides the 5xx: the server gave up, which says nothing of what it had begun."""


def problem_of(response: httpx.Response, content: bytes) -> ProviderError:
    """The error that an answer outside 2xx stands for; a 5xx leaves open whether the request had its effect."""
    status = response.status_code
    problem = _problem(content)
    kind = _BY_STATUS.get(status) or (ProviderFailed if status >= 500 or status < 400 else RequestRefused)
    return kind(
        _message(status, problem),
        ambiguous=status >= 500 or status < 400 or status in _DOUBTFUL,
        retry_after_s=_retry_after_s(response, problem),
        status=status,
    )


def _problem(content: bytes) -> dict[str, Any]:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _message(status: int, problem: dict[str, Any]) -> str:
    """Replicate's own explanation, with the fields it names, without anything that looks like a secret."""
    parts = [f"Replicate answered {status}"]
    parts += [text.strip() for key in ("title", "detail") if isinstance(text := problem.get(key), str)]
    fields = problem.get("invalid_fields")
    for field in fields if isinstance(fields, list) else []:
        if isinstance(field, dict) and str(field.get("field")) not in str(problem.get("detail")):
            parts.append(f"{field.get('field')}: {field.get('description')}")
    return redact_text(": ".join(part for part in parts if part))[:MAX_MESSAGE_CHARS]


def _retry_after_s(response: httpx.Response, problem: dict[str, Any]) -> float | None:
    """Seconds to wait: the longer of the body's and the header's; an HTTP date is not used by Replicate."""
    stated = [_seconds(problem.get("retry_after")), _seconds(response.headers.get("retry-after"))]
    return max((seconds for seconds in stated if seconds is not None), default=None)


def _seconds(value: Any) -> float | None:
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        return None
    return seconds if 0 <= seconds < 1e6 else None
