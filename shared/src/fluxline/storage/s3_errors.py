"""What boto3 raises, as ours: by exception type and HTTP status, never by the words of a message."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from botocore import exceptions as boto
from s3transfer.exceptions import RetriesExceededError
from urllib3.exceptions import HTTPError

from fluxline.storage.errors import (
    ObjectMissing,
    StorageDenied,
    StorageError,
    StorageFailed,
    StorageFull,
    StorageRefused,
    StorageThrottled,
    StorageTimeout,
    StorageUnreachable,
)
from fluxline.storage.files import storage_error

BUCKET_MISSING_HINT = "Create the bucket, or correct CLOUDFLARE_R2_BUCKET."
_BY_CODE: dict[str, type[StorageError]] = {
    "RequestTimeout": StorageTimeout,  # answered with status 400
    "SlowDown": StorageThrottled,  # answered with status 503
}
_BY_STATUS: dict[int, type[StorageError]] = {
    401: StorageDenied,
    403: StorageDenied,
    404: ObjectMissing,
    408: StorageTimeout,
    412: StorageFailed,  # replaced while it was read
    429: StorageThrottled,
    504: StorageTimeout,
    507: StorageFull,
}


@contextmanager
def translated(key: str | None = None) -> Iterator[None]:
    """Turns what boto3 and the file system raise into a StorageError; FileNotFoundError passes."""
    try:
        yield
    except RetriesExceededError as error:
        raise _of(error.last_exception, key) from error
    except (boto.BotoCoreError, boto.ClientError, HTTPError) as error:
        raise _of(error, key) from error
    except FileNotFoundError:
        raise
    except OSError as error:
        raise storage_error(error) from error


def status_of(error: boto.ClientError) -> int:
    """The HTTP status of an answer that boto3 raised; 0 when there was none."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _of(error: BaseException, key: str | None) -> StorageError:
    context: dict[str, Any] = {"reason": type(error).__name__} | ({"key": key} if key else {})
    if isinstance(error, boto.ClientError):
        return _of_answer(error, context)
    if isinstance(error, boto.ConnectTimeoutError | boto.ReadTimeoutError):
        return StorageTimeout(**context)
    # IncompleteReadError and ResponseStreamingError: the connection broke within an answer.
    if isinstance(error, boto.ConnectionError | boto.HTTPClientError | boto.IncompleteReadError | HTTPError | OSError):
        return StorageUnreachable(**context)
    return StorageFailed(**context)


def _of_answer(error: boto.ClientError, context: dict[str, Any]) -> StorageError:
    """An answer of the server (S3 API reference, "Error responses")."""
    code, status = error.response.get("Error", {}).get("Code", ""), status_of(error)
    details = context | {"reason": code, "status": str(status)}
    if code == "NoSuchBucket" or (status == 404 and "key" not in context):
        return StorageRefused("The bucket does not exist.", hint=BUCKET_MISSING_HINT, **details)
    kind = _BY_CODE.get(code) or _BY_STATUS.get(status) or (StorageFailed if status >= 500 else StorageRefused)
    return kind(retry_after_s=_retry_after_s(error), **details)


def _retry_after_s(error: boto.ClientError) -> float | None:
    """What the server asks for in seconds (RFC 9110, 10.2.3); a date is not taken, which S3 never sends."""
    value = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("retry-after", "")
    return float(value) if value.isascii() and value.isdecimal() else None
