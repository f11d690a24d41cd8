"""Answers of fal and Together as errors of ours: by status code, with the key's name in the hint."""

from typing import Any, Final

from fluxline.runtime.redaction import redact_text
from fluxline_generator.errors import (
    ContentRefused,
    ProviderBilling,
    ProviderDenied,
    ProviderError,
    ProviderRefused,
    ProviderThrottled,
    ProviderTimeout,
)

_CONTENT: Final = "content_policy_violation"
_BY_STATUS: Final[dict[int, type[ProviderError]]] = {
    401: ProviderDenied,
    402: ProviderBilling,
    403: ProviderDenied,
    408: ProviderTimeout,
    429: ProviderThrottled,
    504: ProviderTimeout,
}
_IN_DOUBT: Final = frozenset({408, 502, 504})
"""The answer of a gateway that may have lost the real one."""
_MAX_SAID_CHARS: Final = 300


def refusal(provider: str, key: str, status: int, body: Any, retry_after: str | None) -> ProviderError:
    """What a 4xx or 5xx answer means; `key` is the setting that holds the key."""
    said = redact_text(str(_said(body))).strip()[:_MAX_SAID_CHARS]
    fallback = ProviderRefused if status < 500 else ProviderError
    kind = ContentRefused if status == 422 and _CONTENT in str(body) else _BY_STATUS.get(status, fallback)
    hints: dict[type[ProviderError], str] = {
        ProviderDenied: f"Set {key} to a valid key of {provider}.",
        ProviderBilling: f"Add credit to the account of {key} at {provider} and generate again.",
        ProviderError: f"It is tried again by itself; see the status page of {provider} if it lasts.",
    }
    return kind(
        f"{provider} answered {status}: {said}",
        ambiguous=status in _IN_DOUBT,
        hint=hints.get(kind),
        retry_after_s=float(retry_after) if retry_after and retry_after.isdecimal() else None,
        status=status,
    )


def _said(body: Any) -> Any:
    """The words of an error body: `detail` (text or a list with `msg`), or `error.message`."""
    told = body.get("detail") or body.get("error") if isinstance(body, dict) else body
    if isinstance(told, list):
        return "; ".join(str(item.get("msg")) for item in told if isinstance(item, dict))
    return told.get("message") if isinstance(told, dict) else told or "no reason given"
