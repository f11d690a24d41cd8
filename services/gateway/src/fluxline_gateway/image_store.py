"""The images of each owner: a row per content in PostgreSQL, the bytes in storage under their hash."""

from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Final
from uuid import UUID

import asyncpg

from fluxline.images import ImageFacts
from fluxline.postgres.pool import Database
from fluxline.storage import Storage
from fluxline_gateway.pages import Position

MEDIA_TYPES: Final = {
    "jpeg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
    "tiff": "image/tiff",
    "heic": "image/heic",
}
_SUFFIXES: Final = {"jpeg": "jpg"}

_KEEP = """
INSERT INTO images (owner, sha256, storage_key, filename, format, width, height, size_bytes, warnings)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (owner, sha256) DO UPDATE SET filename = excluded.filename
RETURNING *
"""
_FIND = "SELECT * FROM images WHERE owner = $1 AND id = $2"
_PAGE = """
SELECT * FROM images
WHERE owner = $1 AND ($2::timestamptz IS NULL OR (created_at, id) < ($2, $3::uuid))
ORDER BY created_at DESC, id DESC LIMIT $4
"""
_IN_USE = """
SELECT EXISTS (
    SELECT FROM trainings WHERE image_ids @> ARRAY[$1::uuid] AND status NOT IN ('completed', 'failed', 'canceled')
)
"""
_DELETE = "DELETE FROM images WHERE owner = $1 AND id = $2"


class ImageInUse(Exception):
    """A training that has not ended still needs the image."""


@dataclass(frozen=True)
class Image:
    """An accepted image; sizes in pixels as seen upright."""

    id: UUID
    owner: str
    sha256: str
    storage_key: str
    filename: str
    format: str
    width: int
    height: int
    size_bytes: int
    warnings: list[str]
    created_at: datetime

    @property
    def thumbnail_key(self) -> str:
        """Where its thumbnail lies once somebody has looked at it."""
        return f"thumbnails/{self.owner}/{self.sha256}.jpg"


class ImageStore:
    """Keeps images. Every method may raise a database or a storage error."""

    def __init__(self, database: Database, storage: Storage) -> None:
        self.database = database
        self.storage = storage

    async def keep(self, owner: str, filename: str, path: Path, facts: ImageFacts) -> Image:
        """Store an inspected file; the same bytes of the same owner are the same image.

        The second look at the storage is for a deletion of the same image in between: the row's lock orders the two.
        """
        key = f"uploads/{owner}/{facts.sha256}.{_SUFFIXES.get(facts.format, facts.format)}"
        await self._put_once(key, path, facts.format)
        async with self.database.transaction() as connection:
            [row] = await connection.fetch(
                _KEEP,
                owner,
                facts.sha256,
                key,
                filename,
                facts.format,
                facts.width,
                facts.height,
                facts.size_bytes,
                list(facts.warnings),
            )
            await self._put_once(key, path, facts.format)
        return _image(row)

    async def find(self, owner: str, image_id: UUID) -> Image | None:
        """The owner's image of that id."""
        row = await self.database.pool.fetchrow(_FIND, owner, image_id)
        return _image(row) if row else None

    async def page(self, owner: str, after: Position | None, limit: int) -> list[Image]:
        """Up to `limit` of the owner's images after a position, newest first."""
        created_at, image_id = after or (None, None)
        return [_image(row) for row in await self.database.pool.fetch(_PAGE, owner, created_at, image_id, limit)]

    async def remove(self, owner: str, image_id: UUID) -> bool:
        """Delete an image with its bytes; False when there is none. Raises ImageInUse.

        The row's lock makes it wait for a training that is being requested with this image.
        """
        async with self.database.transaction() as connection:
            row = await connection.fetchrow(_FIND + " FOR UPDATE", owner, image_id)
            if row is None:
                return False
            if await connection.fetchval(_IN_USE, image_id):
                raise ImageInUse
            image = _image(row)
            await connection.execute(_DELETE, owner, image_id)
            for key in (image.thumbnail_key, image.storage_key):
                await self.storage.delete(key)
        return True

    async def _put_once(self, key: str, path: Path, format_: str) -> None:
        if await self.storage.stat(key) is None:
            await self.storage.put(key, path, content_type=MEDIA_TYPES[format_])


def _image(row: asyncpg.Record) -> Image:
    return Image(**{column.name: row[column.name] for column in fields(Image)})
