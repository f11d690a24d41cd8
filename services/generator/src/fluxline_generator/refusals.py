"""What a provider answers and its connection raises, as errors of ours: by status code and exception type."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import httpx

from fluxline.runtime.redaction import redact_text
from fluxline_generator.accounts import Account
from fluxline_generator.errors import (
    ContentRefused,
    ProviderBilling,
    ProviderDenied,
    ProviderError,
    ProviderRefused,
    ProviderThrottled,
    ProviderTimeout,
    ProviderUnreachable,
)
from fluxline_generator.predictions import tells_refused_content

BY_STATUS: Final[dict[int, type[ProviderError]]] = {
    401: ProviderDenied,
    402: ProviderBilling,
    403: ProviderDenied,
    408: ProviderTimeout,
    429: ProviderThrottled,
    504: ProviderTimeout,
}
_CONTENT: Final = "content_policy_violation"
_NEVER_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_GONE: Final = frozenset({404, 410})
_IN_DOUBT: Final = frozenset({408, 502, 504})
"""The answer of a gateway that may have lost the real one."""
_MAX_SAID_CHARS: Final = 300


def refusal(account: Account, response: httpx.Response, body: Any, *, doubtful: bool = False) -> ProviderError:
    """What a 4xx or 5xx answer means; `doubtful` says that every 5xx may hide a request that was accepted."""
    status = response.status_code
    fallback = ProviderRefused if status < 500 else ProviderError
    said = str(_said(body) or response.reason_phrase)
    refused = status == 422 and (_CONTENT in str(body) or tells_refused_content(said))
    kind = ContentRefused if refused else BY_STATUS.get(status, fallback)
    return kind(
        f"{account.label} answered {status}: {redact_text(said).strip()[:_MAX_SAID_CHARS]}",
        ambiguous=status in _IN_DOUBT or (doubtful and status >= 500),
        hint=account.hint(kind),
        retry_after_s=retry_after_s(response, body),
        status=status,
    )


@contextmanager
def connection_errors(account: Account) -> Iterator[None]:
    """What the HTTP client raises, as ours. A request that left may have had its effect: `ambiguous`."""
    try:
        yield
    except (httpx.HTTPError, TimeoutError, httpx.InvalidURL, ValueError) as error:
        raise connection_error(account, error) from error


def connection_error(account: Account, error: Exception) -> ProviderError:
    """Why there is no answer, or none that can be read."""
    ambiguous = not isinstance(error, _NEVER_SENT)
    if isinstance(error, httpx.TimeoutException | TimeoutError):
        return ProviderTimeout(f"{account.label} did not answer in time ({type(error).__name__})", ambiguous=ambiguous)
    if isinstance(error, httpx.HTTPError):
        said = f"The connection to {account.label} failed ({type(error).__name__})"
        return ProviderUnreachable(said, ambiguous=ambiguous, hint=account.hint(ProviderUnreachable))
    return unreadable(account, "answer")


def unreadable(account: Account, what: str) -> ProviderError:
    """The provider said something that makes no sense; what was asked for may have been done."""
    said = f"{account.label} gave an {what} that cannot be read"
    return ProviderError(said, ambiguous=True, hint=account.hint(ProviderError))


def download_error(account: Account, response: httpx.Response) -> ProviderError:
    """Why a result cannot be fetched; RunLost when it never will be."""
    status = response.status_code
    if status in _GONE or (account.public and status in (401, 403)):
        return account.gone(status)
    kind = ProviderError if status == 402 else BY_STATUS.get(status, ProviderError)
    return kind(
        f"The image at {account.label} cannot be fetched: {status}",
        hint=account.hint(kind),
        retry_after_s=retry_after_s(response, {}),
        status=status,
    )


def retry_after_s(response: httpx.Response, body: Any) -> float | None:
    """Seconds that the provider asks for, by its body (Replicate) or the header."""
    said = body.get("retry_after") if isinstance(body, dict) else None
    value = str(said or response.headers.get("Retry-After") or "")
    return float(value) if value.isdecimal() else None


def _said(body: Any) -> Any:
    """The words of an error body: `detail` (text or a list with `msg`), `error.message`, or `title`."""
    told = body.get("detail") or body.get("error") or body.get("title") if isinstance(body, dict) else body
    if isinstance(told, list):
        return "; ".join(str(item.get("msg")) for item in told if isinstance(item, dict))
    return told.get("message") if isinstance(told, dict) else told
