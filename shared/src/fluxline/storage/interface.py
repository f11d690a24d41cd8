"""What every object storage can do, and what it says about a stored file."""

from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

CHUNK_BYTES = 1 << 20
"""How much of a file `stream` holds in memory at a time."""

Method = Literal["GET", "PUT"]


class StoredObject(NamedTuple):
    """A stored file: its key, its size, and when it was stored (with a time zone)."""

    key: str
    size_bytes: int
    last_modified: datetime


class Storage(Protocol):
    """Files by key. Every method may raise a `StorageError`, and `InvalidKey` for a key that is no plain path."""

    async def put(self, key: str, source: Path | bytes, *, content_type: str) -> StoredObject:
        """Store a file or bytes, replacing what was there; others see the old or the new, never a part.

        Raises FileNotFoundError when `source` is a path without a file.
        """
        ...

    async def get(self, key: str, target: Path) -> StoredObject:
        """Copy a stored file to `target` (whole or not at all); raises ObjectMissing."""
        ...

    async def read(self, key: str, *, max_bytes: int) -> bytes:
        """A small file's content; raises ObjectMissing, and ObjectTooLarge before reading more than `max_bytes`."""
        ...

    async def stat(self, key: str) -> StoredObject | None:
        """What is stored under `key`, or None."""
        ...

    async def delete(self, key: str) -> None:
        """Remove a stored file; nothing happens when there is none."""
        ...

    def list(self, prefix: str) -> AsyncIterator[StoredObject]:
        """Every stored file whose key starts with `prefix`, in an order of the storage's own."""
        ...

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
        """A link that lets its holder do this one thing for `expires_s` seconds.

        They count from `signed_at` (Unix seconds, not to come; None: now). Links for GET with the same arguments are
        the same then, whoever makes them and when.
        `filename` is the name a browser saves it under. A link for PUT takes a file of exactly `size_bytes`, as
        often as it is sent, by a request that says its length (Content-Length). Nothing is sent now: the file need
        not exist. Raises ValueError unless `expires_s` is 1 to 604,800, and PUT, and only PUT, has a size.
        """
        ...

    def stream(
        self, key: str, *, offset: int = 0, length: int | None = None, chunk_bytes: int = CHUNK_BYTES
    ) -> AsyncIterator[bytes]:
        """A file's bytes from `offset`, at most `length` of them, in chunks; nothing when `offset` is past its end.

        One version of the file even if it is replaced meanwhile. Raises ObjectMissing at the first chunk,
        ValueError for negative numbers.
        """
        ...

    async def check(self) -> None:
        """Return when the storage can be reached, read and written with this configuration; raises StorageError."""
        ...

    async def close(self) -> None:
        """Let go of connections and threads; the storage is not usable afterwards."""
        ...
