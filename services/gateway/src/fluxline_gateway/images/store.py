"""The images of each owner: a row per content in PostgreSQL, the bytes in storage under their hash."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from pathlib import Path
from typing import Final
from uuid import UUID

import asyncpg

from fluxline.images import ImageFacts
from fluxline.postgres.pool import Database
from fluxline.storage import Storage
from fluxline_gateway.images.near_duplicates import NEAR_DUPLICATE, near_duplicates, warning
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
INSERT INTO images (
    owner, sha256, storage_key, filename, format, width, height, size_bytes,
    warnings, warning_codes, sharpness, perceptual_hash
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
ON CONFLICT (owner, sha256) DO UPDATE SET
    filename = excluded.filename, warnings = excluded.warnings, warning_codes = excluded.warning_codes,
    sharpness = excluded.sharpness, perceptual_hash = excluded.perceptual_hash
RETURNING *
"""
_FIND = "SELECT * FROM images WHERE owner = $1 AND id = $2"
_PAGE = """
SELECT * FROM images
WHERE owner = $1 AND ($2::timestamptz IS NULL OR (created_at, id) < ($2, $3::uuid))
ORDER BY created_at DESC, id DESC LIMIT $4
"""
_FIND_SEVERAL = "SELECT * FROM images WHERE owner = $1 AND (id = ANY($2::uuid[]) OR sha256 = ANY($3::text[]))"
_CAPTION = "UPDATE images SET caption = $3 WHERE owner = $1 AND id = $2 RETURNING *"
_STAYS = "SELECT true FROM images WHERE owner = $1 AND id = $2 FOR KEY SHARE"
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
    """An accepted image; sizes in pixels as seen upright.

    `caption` is what its owner says it shows: for trainings that are given no other. `perceptual_hash` is as in
    `fluxline.image_looks`, None of an image from before it was taken. `near_duplicates` look
    alike, the most alike first.
    """

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
    warning_codes: list[str]
    caption: str | None
    perceptual_hash: bytes | None
    created_at: datetime
    near_duplicates: tuple[UUID, ...] = ()

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
        """Store an inspected file; the same bytes of the same owner are the same image. Compares it with no other.

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
                list(facts.warning_codes),
                facts.sharpness,
                asyncpg.BitString.frombytes(facts.perceptual_hash),
            )
            await self._put_once(key, path, facts.format)
        return _image(row)

    async def find(self, owner: str, image_id: UUID) -> Image | None:
        """The owner's image of that id."""
        row = await self.database.pool.fetchrow(_FIND, owner, image_id)
        return await self._compared_one(owner, row)

    async def find_several(
        self, owner: str, ids: Sequence[UUID] = (), *, sha256s: Sequence[str] = ()
    ) -> dict[UUID, Image]:
        """Those of the owner's images that have one of these ids or contents, by id."""
        rows = await self.database.pool.fetch(_FIND_SEVERAL, owner, ids, sha256s)
        return {image.id: image for image in await self.compared(owner, [_image(row) for row in rows])}

    async def page(self, owner: str, after: Position | None, limit: int) -> list[Image]:
        """Up to `limit` of the owner's images after a position, newest first."""
        created_at, image_id = after or (None, None)
        rows = await self.database.pool.fetch(_PAGE, owner, created_at, image_id, limit)
        return await self.compared(owner, [_image(row) for row in rows])

    async def describe(self, owner: str, image_id: UUID, caption: str | None) -> Image | None:
        """The owner's image with a new caption, or with none."""
        row = await self.database.pool.fetchrow(_CAPTION, owner, image_id, caption)
        return await self._compared_one(owner, row)

    async def compared(self, owner: str, images: Sequence[Image]) -> list[Image]:
        """The images with those that look alike among the owner's newest, and a warning of it."""
        alike = await near_duplicates(self.database, owner, [image.id for image in images])
        return [_with_alike(image, alike[image.id]) if image.id in alike else image for image in images]

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

    async def stays(self, owner: str, image_id: UUID) -> bool:
        """Whether the image is there; of one that is being deleted, once that has come to its end."""
        return await self.database.pool.fetchval(_STAYS, owner, image_id) is not None

    async def _compared_one(self, owner: str, row: asyncpg.Record | None) -> Image | None:
        return (await self.compared(owner, [_image(row)]))[0] if row else None

    async def _put_once(self, key: str, path: Path, format_: str) -> None:
        if await self.storage.stat(key) is None:
            await self.storage.put(key, path, content_type=MEDIA_TYPES[format_])


def _image(row: asyncpg.Record) -> Image:
    facts = {column.name: row[column.name] for column in fields(Image) if column.name in row}
    bits: asyncpg.BitString | None = row["perceptual_hash"]
    return Image(**facts | {"perceptual_hash": bits.bytes if bits else None})


def _with_alike(image: Image, names: dict[UUID, str]) -> Image:
    most_alike = next(iter(names.values()))
    return replace(
        image,
        near_duplicates=tuple(names),
        warnings=[*image.warnings, warning(most_alike)],
        warning_codes=[*image.warning_codes, NEAR_DUPLICATE],
    )
