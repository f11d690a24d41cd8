"""What only S3 can do wrong: wrong keys, wrong bucket, silence, and every status a server may answer."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError, ReadTimeoutError, ResponseStreamingError
from s3transfer.exceptions import RetriesExceededError

from fluxline.contracts.errors import ErrorCategory
from fluxline.storage import (
    StorageDenied,
    StorageError,
    StorageFailed,
    StorageFull,
    StorageRefused,
    StorageThrottled,
    StorageTimeout,
    StorageUnreachable,
)
from fluxline.storage.s3 import S3Storage
from fluxline.storage.s3_errors import translated
from processes import free_ports
from servers import SeaweedServer


@asynccontextmanager
async def connected(endpoint: str, **changed: str) -> AsyncIterator[S3Storage]:
    options = {"bucket": "fluxline", "access_key_id": "key", "secret_access_key": "secret"} | changed
    storage = S3Storage(endpoint=endpoint, **options)
    try:
        yield storage
    finally:
        await storage.close()


@asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[str]:
    """The address of a server that gives every request the same answer, and ends the connection."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def answer_of(status: int, code: str = "") -> bytes:
    body = f"<Error><Code>{code}</Code></Error>" if code else ""
    head = f"HTTP/1.1 {status} Whatever\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return (head + body).encode()


@pytest.mark.parametrize("wrong", ["access_key_id", "secret_access_key"])
async def test_wrong_credentials_are_denied_and_the_remedy_names_the_variables(
    seaweed: SeaweedServer, tmp_path: Path, wrong: str
) -> None:
    keys = {"access_key_id": seaweed.access_key, "secret_access_key": seaweed.secret_key} | {wrong: "wrong"}
    async with connected(seaweed.endpoint, bucket=seaweed.bucket, **keys) as storage:
        with pytest.raises(StorageDenied) as raised:
            await storage.check()
        assert raised.value.category is ErrorCategory.AUTHENTICATION
        assert "CLOUDFLARE_R2_SECRET_ACCESS_KEY" in raised.value.hint
        assert seaweed.secret_key not in str(vars(raised.value))
        with pytest.raises(StorageDenied):
            await storage.read("a", max_bytes=1)
        with pytest.raises(StorageDenied):
            await storage.get("a", tmp_path / "out")
        with pytest.raises(StorageDenied):
            await storage.stat("a")
        (tmp_path / "in").write_bytes(b"x")
        with pytest.raises(StorageDenied):
            await storage.put("a", tmp_path / "in", content_type="text/plain")


async def test_a_bucket_that_does_not_exist_is_named_as_the_remedy(seaweed: SeaweedServer) -> None:
    keys = {"access_key_id": seaweed.access_key, "secret_access_key": seaweed.secret_key}
    async with connected(seaweed.endpoint, bucket="nowhere", **keys) as storage:
        with pytest.raises(StorageRefused) as raised:
            await storage.check()
    assert "CLOUDFLARE_R2_BUCKET" in raised.value.hint


async def test_an_endpoint_where_nobody_listens_is_unreachable_within_seconds() -> None:
    async with connected(f"http://127.0.0.1:{free_ports(1)[0]}") as storage:
        began = time.monotonic()
        with pytest.raises(StorageUnreachable) as raised:
            await storage.check()
    assert time.monotonic() - began < 5
    assert raised.value.category is ErrorCategory.NETWORK


async def test_a_host_that_does_not_exist_is_unreachable() -> None:
    async with connected("http://nowhere.invalid") as storage:
        with pytest.raises(StorageUnreachable):
            await storage.check()


@pytest.mark.parametrize(
    ("status", "code", "expected", "category"),
    [
        (400, "InvalidArgument", StorageRefused, ErrorCategory.VALIDATION),
        (400, "RequestTimeout", StorageTimeout, ErrorCategory.TIMEOUT),
        (401, "Unauthorized", StorageDenied, ErrorCategory.AUTHENTICATION),
        (403, "SignatureDoesNotMatch", StorageDenied, ErrorCategory.AUTHENTICATION),
        (404, "NoSuchBucket", StorageRefused, ErrorCategory.VALIDATION),
        (404, "", StorageRefused, ErrorCategory.VALIDATION),
        (429, "", StorageThrottled, ErrorCategory.RATE_LIMIT),
        (500, "InternalError", StorageFailed, ErrorCategory.SERVICE_ERROR),
        (503, "SlowDown", StorageThrottled, ErrorCategory.RATE_LIMIT),
        (502, "", StorageFailed, ErrorCategory.SERVICE_ERROR),
        (504, "", StorageTimeout, ErrorCategory.TIMEOUT),
        (507, "", StorageFull, ErrorCategory.SERVICE_ERROR),
    ],
)
async def test_an_answer_is_classified_by_its_status(
    status: int, code: str, expected: type[StorageError], category: ErrorCategory
) -> None:
    async with answering(answer_of(status, code)) as endpoint, connected(endpoint) as storage:
        with pytest.raises(StorageError) as raised:
            await storage.check()
    assert type(raised.value) is expected
    assert raised.value.category is category


async def test_a_connection_that_breaks_off_is_unreachable() -> None:
    async with answering(b"") as endpoint, connected(endpoint) as storage:
        with pytest.raises(StorageUnreachable):
            await storage.check()


async def test_an_answer_that_breaks_off_within_its_body_is_unreachable() -> None:
    head = b'HTTP/1.1 200 OK\r\nContent-Length: 99\r\nETag: "x"\r\nConnection: close\r\n\r\nshort'
    async with answering(head) as endpoint, connected(endpoint) as storage:
        with pytest.raises(StorageUnreachable):
            await storage.read("a", max_bytes=100)
        with pytest.raises(StorageUnreachable):
            _ = [chunk async for chunk in storage.stream("a")]


def test_silence_is_a_timeout() -> None:
    for error in (ConnectTimeoutError(endpoint_url="x"), ReadTimeoutError(endpoint_url="x")):
        with pytest.raises(StorageTimeout), translated():
            raise error
        with pytest.raises(StorageTimeout), translated():
            raise RetriesExceededError(error)
    with pytest.raises(StorageUnreachable), translated():
        raise ResponseStreamingError(error="reset")


async def test_a_cancelled_upload_leaves_nothing_behind(seaweed: SeaweedServer, tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.write_bytes(b"x" * (48 << 20))
    keys = {"access_key_id": seaweed.access_key, "secret_access_key": seaweed.secret_key}
    async with connected(seaweed.endpoint, bucket=seaweed.bucket, **keys) as storage:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(storage.put("cancelled/a", source, content_type="text/plain"), 0.05)
    async with connected(seaweed.endpoint, bucket=seaweed.bucket, **keys) as storage:
        assert await storage.stat("cancelled/a") is None


def test_a_server_that_asks_to_slow_down_says_for_how_long() -> None:
    metadata = {"HTTPStatusCode": 503, "HTTPHeaders": {"retry-after": "7"}}
    answer = {"Error": {"Code": "SlowDown"}, "ResponseMetadata": metadata}
    with pytest.raises(StorageThrottled) as refusal, translated("a"):
        raise ClientError(answer, "PutObject")  # type: ignore[arg-type]
    assert refusal.value.retry_after_s == 7
