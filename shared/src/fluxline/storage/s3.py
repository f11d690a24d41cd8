"""Any S3 as the object storage, Cloudflare R2 first, through boto3 (its blocking calls on our own threads)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import UTC
from http.client import REQUESTED_RANGE_NOT_SATISFIABLE as RANGE_NOT_SATISFIABLE
from pathlib import Path
from uuid import uuid4

from botocore.exceptions import ClientError
from botocore.response import StreamingBody
from s3transfer.futures import TransferFuture

from fluxline.storage.errors import ObjectMissing, ObjectTooLarge
from fluxline.storage.interface import CHUNK_BYTES, Method, StoredObject
from fluxline.storage.keys import validate_key, validate_prefix, validate_range
from fluxline.storage.s3_clients import Pinned, make_clients, make_transfers
from fluxline.storage.s3_errors import status_of, translated
from fluxline.storage.s3_links import LinkSigner
from fluxline.storage.signing import content_disposition, validate_expiry, validate_size
from fluxline.storage.spans import traced
from fluxline.storage.threads import Threads

THREADS = 8
_OPERATIONS = {"GET": "get_object", "PUT": "put_object"}


class S3Storage:
    """Objects of one bucket. `endpoint` has a scheme; region `auto` is what R2 wants and others accept."""

    def __init__(
        self, *, endpoint: str, bucket: str, access_key_id: str, secret_access_key: str, region: str = "auto"
    ) -> None:
        self._bucket = bucket
        self._client, self._checker = make_clients(endpoint, access_key_id, secret_access_key, region)
        self._links = LinkSigner(access_key_id, secret_access_key, region)
        self._transfers = make_transfers(self._client)
        self._threads = Threads(THREADS, "storage")
        self._may_write = False

    @property
    def span_attributes(self) -> dict[str, str]:
        """See HasSystem."""
        return {"rpc.system": "aws-api", "rpc.service": "S3", "aws.s3.bucket": self._bucket}

    @traced("put")
    async def put(self, key: str, source: Path | bytes, *, content_type: str) -> StoredObject:
        """See Storage."""
        validate_key(key)
        if isinstance(source, bytes):
            with translated(key):
                await self._threads.run(
                    self._client.put_object, Bucket=self._bucket, Key=key, Body=source, ContentType=content_type
                )
        else:
            extra = {"ContentType": content_type}
            await self._finish(self._transfers.upload(str(source), self._bucket, key, extra), key)
        return (await self._head(key))[0]

    @traced("get")
    async def get(self, key: str, target: Path) -> StoredObject:
        """See Storage."""
        found, etag = await self._head(validate_key(key))
        pinned = Pinned(found.size_bytes, etag)
        await self._finish(self._transfers.download(self._bucket, key, str(target), subscribers=[pinned]), key)
        return found

    @traced("read")
    async def read(self, key: str, *, max_bytes: int) -> bytes:
        """See Storage."""
        with translated(validate_key(key)):
            return await self._threads.run(self._read, key, max_bytes)

    async def stat(self, key: str) -> StoredObject | None:
        """See Storage."""
        try:
            return (await self._head(validate_key(key)))[0]
        except ObjectMissing:
            return None

    @traced("delete")
    async def delete(self, key: str) -> None:
        """See Storage."""
        with translated(validate_key(key)):
            await self._threads.run(self._client.delete_object, Bucket=self._bucket, Key=key)

    async def list(self, prefix: str) -> AsyncIterator[StoredObject]:
        """See Storage."""
        pages = iter(
            self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=validate_prefix(prefix))
        )
        while True:
            with translated():
                page = await self._threads.run(next, pages, None)
            if page is None:
                return
            for item in page.get("Contents", []):
                yield StoredObject(item["Key"], item["Size"], item["LastModified"].astimezone(UTC))

    def signed_url(
        self,
        key: str,
        *,
        method: Method = "GET",
        expires_s: int,
        filename: str | None = None,
        size_bytes: int | None = None,
        signed_at: int | None = None,
    ) -> str:
        """See Storage; the size becomes one of the signed headers."""
        params: dict[str, str | int] = {"Bucket": self._bucket, "Key": validate_key(key)}
        if (size := validate_size(method, size_bytes)) is not None:
            params["ContentLength"] = size
        elif filename:
            params["ResponseContentDisposition"] = content_disposition(filename)
        url = self._client.generate_presigned_url(
            _OPERATIONS[method], Params=params, ExpiresIn=validate_expiry(expires_s)
        )
        if signed_at is None or method != "GET":
            return url
        return self._links.sign(url, expires_s=expires_s, signed_at=signed_at)

    async def stream(
        self, key: str, *, offset: int = 0, length: int | None = None, chunk_bytes: int = CHUNK_BYTES
    ) -> AsyncIterator[bytes]:
        """See Storage."""
        validate_range(offset, length, chunk_bytes)
        if length == 0:
            await self._head(validate_key(key))
            return
        with translated(validate_key(key)):
            body = await self._threads.run(self._open, key, offset, length)
        if body is None:
            return
        try:
            while True:
                with translated(key):
                    chunk = await self._threads.run(body.read, chunk_bytes)
                if not chunk:
                    return
                yield chunk
        finally:
            await self._threads.run(body.close)

    async def check(self) -> None:
        """See Storage; writing is tried until it worked once, reaching the bucket every time."""
        with translated():
            await self._threads.run(self._probe)

    async def close(self) -> None:
        """See Storage."""
        await asyncio.to_thread(self._transfers.shutdown, cancel=True)
        await self._threads.close()
        self._client.close()
        self._checker.close()

    async def _head(self, key: str) -> tuple[StoredObject, str]:
        """What is stored and its version (ETag); raises ObjectMissing."""
        with translated(key):
            head = await self._threads.run(self._client.head_object, Bucket=self._bucket, Key=key)
        return StoredObject(key, head["ContentLength"], head["LastModified"].astimezone(UTC)), head["ETag"]

    async def _finish(self, transfer: TransferFuture, key: str) -> None:
        """Wait for a transfer; end it with its caller, so that no parts stay behind."""
        try:
            with translated(key):
                await self._threads.run(transfer.result)
        except asyncio.CancelledError:
            transfer.cancel()
            raise

    def _read(self, key: str, max_bytes: int) -> bytes:
        answer = self._client.get_object(Bucket=self._bucket, Key=key)
        with closing(answer["Body"]) as body:
            if answer["ContentLength"] > max_bytes:
                raise ObjectTooLarge(key=key, size_bytes=answer["ContentLength"], max_bytes=max_bytes)
            return body.read()

    def _open(self, key: str, offset: int, length: int | None) -> StreamingBody | None:
        """The body of an object from `offset`; None when there is nothing (RFC 9110: 416)."""
        last = "" if length is None else str(offset + length - 1)
        try:
            if offset == 0 and length is None:
                return self._client.get_object(Bucket=self._bucket, Key=key)["Body"]
            return self._client.get_object(Bucket=self._bucket, Key=key, Range=f"bytes={offset}-{last}")["Body"]
        except ClientError as error:
            if status_of(error) == RANGE_NOT_SATISFIABLE:
                return None
            raise

    def _probe(self) -> None:
        if self._may_write:
            self._checker.head_bucket(Bucket=self._bucket)
            return
        key = f"checks/{uuid4().hex}"
        self._checker.put_object(Bucket=self._bucket, Key=key, Body=b"fluxline")
        self._checker.delete_object(Bucket=self._bucket, Key=key)
        self._may_write = True
