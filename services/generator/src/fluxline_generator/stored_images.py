"""Where a generation's images lie in our storage, and how they go."""

from uuid import UUID

from fluxline.storage import Storage


class StoredImages:
    """The images of all generations. Every method may raise StorageError."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage

    async def remove(self, generation_id: UUID) -> None:
        """Delete the generation's images; nothing happens when there are none."""
        keys = [item.key async for item in self.storage.list(images_prefix(generation_id))]
        for key in keys:
            await self.storage.delete(key)


def images_prefix(generation_id: UUID) -> str:
    """The folder of a generation."""
    return f"generations/{generation_id}/"
