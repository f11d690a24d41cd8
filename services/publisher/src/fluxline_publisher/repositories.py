"""Which repository on the hub was created for a training: noted beside its weights before the hub is asked.

A cancelation names no repository, and an empty one tells nobody whose it is; what is not noted is never removed.
"""

from typing import Final
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from fluxline.storage import ObjectMissing, Storage

_MAX_NOTE_BYTES: Final = 4096


class CreatedRepository(BaseModel):
    """`repo` (namespace/name) did not exist before; `announced` once the owner may have been told of it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    repo: str
    announced: bool = False


class Repositories:
    """The notes, in our own storage. Every method may raise StorageError."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage

    async def note(self, training_id: UUID, repository: CreatedRepository) -> None:
        """Write down what is about to be created, or what became of it."""
        content = repository.model_dump_json().encode()
        await self.storage.put(_key(training_id), content, content_type="application/json")

    async def created_for(self, training_id: UUID) -> CreatedRepository | None:
        """The repository that was created for the training, if any."""
        try:
            return CreatedRepository.model_validate_json(
                await self.storage.read(_key(training_id), max_bytes=_MAX_NOTE_BYTES)
            )
        except ObjectMissing:
            return None


def models_prefix(training_id: UUID) -> str:
    """Where everything lies that is kept of a training's model."""
    return f"models/{training_id}/"


def _key(training_id: UUID) -> str:
    return f"{models_prefix(training_id)}repository.json"
