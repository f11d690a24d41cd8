"""What huggingface_hub and its HTTP client raise, as errors of ours: by exception type and status code."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import httpx2
from huggingface_hub.errors import HfHubHTTPError

from fluxline.contracts.errors import FluxlineError
from fluxline.runtime.redaction import redact_text
from fluxline_publisher.errors import (
    HubBilling,
    HubFailed,
    HubRefused,
    HubThrottled,
    HubTimeout,
    HubTokenRefused,
    HubUnreachable,
)

_BY_STATUS: Final[dict[int, type[FluxlineError]]] = {
    401: HubTokenRefused,
    402: HubBilling,
    403: HubTokenRefused,
    408: HubTimeout,
    409: HubFailed,  # another operation on the repository is running
    412: HubFailed,  # somebody else committed first: the next attempt looks again
    429: HubThrottled,
    504: HubTimeout,
}
_MAX_SAID_CHARS: Final = 300


@contextmanager
def hub_errors(doing: str) -> Iterator[None]:
    """Everything that the client raises inside leaves as one of ours; `doing` says what was being done."""
    try:
        yield
    except FluxlineError:
        raise
    except (HfHubHTTPError, httpx2.HTTPError) as error:
        raise _translated(error, doing) from error
    except RuntimeError as error:  # an upload failed: the client wraps what happened
        if isinstance(error.__cause__, FluxlineError):
            raise error.__cause__ from error
        if not isinstance(error.__cause__, (HfHubHTTPError, httpx2.HTTPError)):
            raise
        raise _translated(error.__cause__, doing) from error
    except (ValueError, KeyError) as error:
        raise HubFailed(f"{doing}: Hugging Face gave an answer that cannot be read") from error


def from_status(response: httpx2.Response, doing: str) -> FluxlineError:
    """The error that a refusing answer stands for; its body must have been read."""
    status = response.status_code
    fallback = HubFailed if status >= 500 else HubRefused
    error_class = _BY_STATUS.get(status, fallback)
    said = response.headers.get("X-Error-Message") or response.reason_phrase
    return error_class(
        f"{doing}: Hugging Face answered {status} {redact_text(said)[:_MAX_SAID_CHARS]}".strip(),
        retry_after_s=_retry_after_s(response),
        status=status,
    )


def _translated(error: Exception, doing: str) -> FluxlineError:
    if isinstance(error, HfHubHTTPError):
        return from_status(error.response, doing)
    if isinstance(error, httpx2.TimeoutException):
        return HubTimeout(f"{doing}: Hugging Face did not answer in time ({type(error).__name__})")
    return HubUnreachable(f"{doing}: the connection to Hugging Face failed ({type(error).__name__})")


def _retry_after_s(response: httpx2.Response) -> float | None:
    value = response.headers.get("Retry-After", "")
    return float(value) if value.isdecimal() else None
