"""Uploads that were announced: a row for each and one for each of its files, and where they lie until they are judged.

An upload is open for `LIFETIME`. Until it is completed, its files lie under `incoming/{owner}/{upload}/{number}`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID, uuid4

from fluxline.postgres.pool import Connection, Database
from fluxline.storage import Storage

INCOMING: Final = "incoming/"
LIFETIME: Final = timedelta(hours=24)
MAX_PURGED: Final = 1000
LOCK_CLASS: Final = 7_340_198
"""Of the advisory locks on owners who announce uploads."""

_ADD = "INSERT INTO image_uploads (id, owner, expires_at) VALUES ($1, $2, now() + $3::interval) RETURNING expires_at"
_ADD_FILES = """
INSERT INTO image_upload_files (upload_id, number, filename, size_bytes, sha256, storage_key, image_id)
SELECT $1, number, filename, size_bytes, sha256, $2 || number, image_id
FROM unnest($3::text[], $4::bigint[], $5::text[], $6::uuid[])
    WITH ORDINALITY AS announced (filename, size_bytes, sha256, image_id, number)
"""
_TAKE_TURN = "SELECT pg_advisory_xact_lock($1, hashtext($2))"
_OPEN = """
SELECT count(*) FROM image_uploads
WHERE owner = $1 AND expires_at > now()
  AND EXISTS (SELECT FROM image_upload_files WHERE upload_id = id AND image_id IS NULL AND code IS NULL)
"""
_FIND = """
SELECT expires_at, expires_at <= now() AS expired, number, file.filename, file.size_bytes, file.sha256,
    file.storage_key, images.id AS image_id, code, reason
FROM image_uploads AS upload
JOIN image_upload_files AS file ON upload_id = upload.id
LEFT JOIN images ON images.id = file.image_id AND images.owner = upload.owner
WHERE upload.owner = $1 AND upload.id = $2
ORDER BY number
"""
_SETTLE = "UPDATE image_upload_files SET image_id = $3, code = $4, reason = $5 WHERE upload_id = $1 AND number = $2"
_PURGE = """
DELETE FROM image_uploads WHERE id IN (
    SELECT id FROM image_uploads WHERE expires_at < now() ORDER BY expires_at LIMIT $1 FOR UPDATE SKIP LOCKED
)
"""


class Announced(NamedTuple):
    """What is said of a file before it is sent; `image_id` is the owner's image of the same bytes."""

    filename: str
    size_bytes: int
    sha256: str | None
    image_id: UUID | None


@dataclass(frozen=True)
class UploadFile:
    """A file of an upload, counted from 1. `image_id` is the image that it became, which still exists.

    `code` and `reason` say why it became none.
    """

    number: int
    filename: str
    size_bytes: int
    sha256: str | None
    storage_key: str
    image_id: UUID | None = None
    code: str | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Upload:
    """An upload with its files in their order."""

    id: UUID
    owner: str
    expires_at: datetime
    files: tuple[UploadFile, ...]
    expired: bool = False

    @property
    def folder(self) -> str:
        """The prefix of its files' keys."""
        return _folder(self.owner, self.id)


class UploadStore:
    """The rows of uploads. Every method may raise a database error."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def add(self, connection: Connection, owner: str, announced: Sequence[Announced]) -> Upload:
        """A new upload of these files."""
        upload_id = uuid4()
        folder = _folder(owner, upload_id)
        expires_at = await connection.fetchval(_ADD, upload_id, owner, LIFETIME)
        await connection.execute(_ADD_FILES, upload_id, folder, *map(list, zip(*announced, strict=True)))
        files = tuple(
            UploadFile(number, file.filename, file.size_bytes, file.sha256, f"{folder}{number}", file.image_id)
            for number, file in enumerate(announced, 1)
        )
        return Upload(upload_id, owner, expires_at, files)

    async def count_open(self, connection: Connection, owner: str) -> int:
        """How many of the owner's uploads wait for files that were not judged yet.

        Requests of one owner, on any gateway, count one after the other: the next one counts what this one adds.
        """
        await connection.execute(_TAKE_TURN, LOCK_CLASS, owner)
        count: int = await connection.fetchval(_OPEN, owner)
        return count

    async def find(self, owner: str, upload_id: UUID) -> Upload | None:
        """The owner's upload of that id, as it is now."""
        rows = [dict(row) for row in await self.database.pool.fetch(_FIND, owner, upload_id)]
        if not rows:
            return None
        [(expires_at, expired)] = {(row.pop("expires_at"), row.pop("expired")) for row in rows}
        return Upload(upload_id, owner, expires_at, tuple(UploadFile(**row) for row in rows), expired)

    async def settle(
        self, upload_id: UUID, number: int, *, image_id: UUID | None = None, code: str | None = None, reason: str = ""
    ) -> None:
        """Remember what became of a file: an image, or the reason why not."""
        await self.database.pool.execute(_SETTLE, upload_id, number, image_id, code, reason if code else None)

    async def purge(self) -> None:
        """Forget uploads that are no longer open, a bounded number of them."""
        await self.database.pool.execute(_PURGE, MAX_PURGED)


async def remove_abandoned(storage: Storage) -> None:
    """Drop a bounded number of files that lie in the storage for uploads that cannot be open any more.

    By their age: a file is never older than its upload. So it goes too when its upload's row is gone.
    """
    before = datetime.now(UTC) - LIFETIME
    found: list[str] = []
    async for item in storage.list(INCOMING):
        found += [item.key] if item.last_modified < before else []
        if len(found) >= MAX_PURGED:
            break
    for key in found:
        await storage.delete(key)


def _folder(owner: str, upload_id: UUID) -> str:
    return f"{INCOMING}{owner}/{upload_id}/"
