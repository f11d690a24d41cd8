"""Which of an owner's images look alike, told by their perceptual hashes; images without one look like none."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from fluxline.image_looks import NEAR_DUPLICATE_BITS
from fluxline.postgres.pool import Database

NEAR_DUPLICATE: Final = "near_duplicate"
COMPARED_IMAGES: Final = 2000
"""An image is compared with so many of its owner's, the newest."""
MAX_NEAR_DUPLICATES: Final = 20

_ALIKE = """
WITH compared AS MATERIALIZED (
    SELECT id, filename, perceptual_hash FROM images WHERE owner = $1 ORDER BY created_at DESC, id DESC LIMIT $3
)
SELECT shown.id AS image_id, other.id, other.filename
FROM images shown CROSS JOIN LATERAL (
    SELECT id, filename, bit_count(perceptual_hash # shown.perceptual_hash) AS distance FROM compared
    WHERE id <> shown.id AND bit_count(perceptual_hash # shown.perceptual_hash) <= $4
    ORDER BY distance, id LIMIT $5
) other
WHERE shown.owner = $1 AND shown.id = ANY($2::uuid[])
ORDER BY other.distance, other.id
"""


async def near_duplicates(database: Database, owner: str, ids: Sequence[UUID]) -> dict[UUID, dict[UUID, str]]:
    """Of each of these images that has any: the names of those that look alike, by id, the most alike first."""
    alike: dict[UUID, dict[UUID, str]] = {}
    limits = (COMPARED_IMAGES, NEAR_DUPLICATE_BITS, MAX_NEAR_DUPLICATES)
    for row in await database.pool.fetch(_ALIKE, owner, ids, *limits) if ids else ():
        alike.setdefault(row["image_id"], {})[row["id"]] = row["filename"]
    return alike


def distance(one: bytes, other: bytes) -> int:
    """In how many bits two perceptual hashes differ."""
    return (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).bit_count()


def warning(filename: str) -> str:
    """What is said of an image that looks like the one of that name."""
    return f"The photo looks almost like “{filename}”. Keep the better one: what is seen twice is learned too well."
