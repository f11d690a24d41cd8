"""The local folder as an object storage: a file per key, and links that the gateway serves."""

import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from itertools import islice
from pathlib import Path

from fluxline.storage.errors import SizeMismatch
from fluxline.storage.folder import Folder, read_chunk, write_chunk
from fluxline.storage.interface import CHUNK_BYTES, Method, StoredObject
from fluxline.storage.keys import validate_key, validate_prefix, validate_range
from fluxline.storage.signing import LinkSigner, validate_expiry, validate_size
from fluxline.storage.spans import traced
from fluxline.storage.threads import Threads

THREADS = 4
LIST_PAGE = 500


class LocalStorage:
    """Files under `root`, used by any number of processes of one machine; `secret` signs the links (≥ 32 bytes).

    A link is `{public_url}/storage/{key}?…`; whoever serves it calls `verify_signature` first. `clock` says
    the time in Unix seconds. Making one creates `root`, and raises StorageError when that is impossible.
    """

    def __init__(self, root: Path, public_url: str, secret: bytes, *, clock: Callable[[], float] = time.time) -> None:
        self._signer = LinkSigner(public_url, secret)
        self._folder = Folder(root.absolute())
        self._clock = clock
        self._threads = Threads(THREADS, "storage")

    @property
    def span_attributes(self) -> dict[str, str]:
        """See HasSystem."""
        return {"fluxline.storage.system": "folder"}

    @traced("put")
    async def put(self, key: str, source: Path | bytes, *, content_type: str) -> StoredObject:
        """See Storage; a folder keeps no content types, whoever serves the file knows them."""
        return await self._threads.run(self._folder.put, validate_key(key), source)

    @traced("get")
    async def get(self, key: str, target: Path) -> StoredObject:
        """See Storage."""
        return await self._threads.run(self._folder.get, validate_key(key), target)

    @traced("read")
    async def read(self, key: str, *, max_bytes: int) -> bytes:
        """See Storage."""
        return await self._threads.run(self._folder.read, validate_key(key), max_bytes)

    async def stat(self, key: str) -> StoredObject | None:
        """See Storage."""
        return await self._threads.run(self._folder.stat, validate_key(key))

    @traced("delete")
    async def delete(self, key: str) -> None:
        """See Storage."""
        await self._threads.run(self._folder.delete, validate_key(key))

    async def list(self, prefix: str) -> AsyncIterator[StoredObject]:
        """See Storage."""
        found = self._folder.walk(validate_prefix(prefix))
        while page := await self._threads.run(lambda: [*islice(found, LIST_PAGE)]):
            for item in page:
                yield item

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
        """See Storage."""
        begins = int(self._clock()) if signed_at is None else signed_at
        expires, size = begins + validate_expiry(expires_s), validate_size(method, size_bytes)
        return self._signer.link(validate_key(key), method, expires, filename if size is None else str(size))

    def verify_signature(self, key: str, method: str, params: Mapping[str, str], now: float) -> None:
        """Whether a request for a link may be served at `now` (Unix seconds): `params` are its query's.

        The `size` (bytes) of a link for PUT is to be trusted then. Raises InvalidKey, SignatureInvalid or
        SignatureExpired.
        """
        self._signer.verify(validate_key(key), method, params, now)

    async def receive(self, key: str, chunks: AsyncIterator[bytes], *, size_bytes: int) -> StoredObject:
        """Store a file that comes in piece by piece: on disk as it comes, to be seen once it is complete.

        Raises SizeMismatch, with nothing stored, unless it has exactly `size_bytes`.
        """
        validate_key(key)
        received, part = 0, await self._threads.run(self._folder.begin)
        try:
            async for chunk in chunks:
                received += len(chunk)
                if received > size_bytes:
                    break
                await self._threads.run(write_chunk, part, chunk)
            if received != size_bytes:
                raise SizeMismatch(key=key, size_bytes=size_bytes, received_bytes=received)
            return await self._threads.run(self._folder.finish, key, part)
        finally:
            await self._threads.run(self._folder.drop, part)

    async def stream(
        self, key: str, *, offset: int = 0, length: int | None = None, chunk_bytes: int = CHUNK_BYTES
    ) -> AsyncIterator[bytes]:
        """See Storage."""
        validate_range(offset, length, chunk_bytes)
        left = sys.maxsize if length is None else length
        file = await self._threads.run(self._folder.open, validate_key(key), offset)
        try:
            while left and (chunk := await self._threads.run(read_chunk, file, min(left, chunk_bytes))):
                left -= len(chunk)
                yield chunk
        finally:
            await self._threads.run(file.close)

    async def check(self) -> None:
        """See Storage."""
        await self._threads.run(self._folder.probe)

    async def close(self) -> None:
        """See Storage."""
        await self._threads.close()
