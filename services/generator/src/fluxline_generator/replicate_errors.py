"""What Replicate answers and httpx raises, as errors of ours: by status code and exception type.

Status codes and bodies: https://replicate.com/docs/reference/http (problem+json with `detail` and `retry_after`).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import httpx

from fluxline.runtime.redaction import redact_text
from fluxline_generator.errors import (
    ContentRefused,
    ProviderBilling,
    ProviderDenied,
    ProviderError,
    ProviderRefused,
    ProviderThrottled,
    ProviderTimeout,
    ProviderUnreachable,
    RunLost,
)
from fluxline_generator.predictions import tells_refused_content

_BY_STATUS: Final[dict[int, type[ProviderError]]] = {
    401: ProviderDenied,
    402: ProviderBilling,
    403: ProviderDenied,
    408: ProviderTimeout,
    429: ProviderThrottled,
    504: ProviderTimeout,
}
_DOWNLOADS: Final[dict[int, type[ProviderError]]] = {**_BY_STATUS, 402: ProviderError, 404: RunLost, 410: RunLost}
_NEVER_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_MAX_SAID_CHARS: Final = 300


@contextmanager
def replicate_errors() -> Iterator[None]:
    """What the HTTP client raises, as ours. A request that left may have had its effect: `ambiguous`."""
    try:
        yield
    except (httpx.TimeoutException, TimeoutError) as error:
        ambiguous = not isinstance(error, _NEVER_SENT)
        raise ProviderTimeout(
            f"Replicate did not answer in time ({type(error).__name__})", ambiguous=ambiguous
        ) from error
    except httpx.HTTPError as error:
        said = f"The connection to Replicate failed ({type(error).__name__})"
        raise ProviderUnreachable(said, ambiguous=not isinstance(error, _NEVER_SENT)) from error
    except (httpx.InvalidURL, ValueError) as error:
        raise ProviderError("Replicate gave an answer that cannot be read", ambiguous=True) from error


async def raise_refusal(response: httpx.Response) -> None:
    """A response hook: 4xx and 5xx as ours, while the answer's headers are still at hand."""
    status = response.status_code
    if status < httpx.codes.BAD_REQUEST:
        return
    await response.aread()
    problem = _problem(response)
    fallback = ProviderError if status >= httpx.codes.INTERNAL_SERVER_ERROR else ProviderRefused
    said = problem.get("detail") or problem.get("title") or response.reason_phrase
    if status == httpx.codes.UNPROCESSABLE_ENTITY and tells_refused_content(str(said)):
        fallback = ContentRefused
    raise _BY_STATUS.get(status, fallback)(
        f"Replicate answered {status}: {redact_text(str(said)).strip()[:_MAX_SAID_CHARS]}",
        ambiguous=status >= httpx.codes.INTERNAL_SERVER_ERROR or status == httpx.codes.REQUEST_TIMEOUT,
        retry_after_s=_retry_after_s(response, problem),
        status=status,
    )


def download_error(response: httpx.Response) -> ProviderError:
    """Why a result cannot be fetched; RunLost when it never will be."""
    kind = _DOWNLOADS.get(response.status_code, ProviderError)
    if kind is RunLost:
        return RunLost("The provider's image is gone: results live for an hour", status=response.status_code)
    return kind(
        f"The provider's image cannot be fetched: {response.status_code}",
        retry_after_s=_retry_after_s(response, {}),
        status=response.status_code,
    )


def _problem(response: httpx.Response) -> dict[str, Any]:
    """The problem+json body, or nothing."""
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _retry_after_s(response: httpx.Response, problem: dict[str, Any]) -> float | None:
    value = str(problem.get("retry_after") or response.headers.get("Retry-After") or "")
    return float(value) if value.isdecimal() else None
