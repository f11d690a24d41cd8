"""The work of removing what was published for a training: the repository that we created, and the stored model."""

from uuid import UUID

from fluxline.contracts.job import HubPublication
from fluxline.runtime.logs import get_logger
from fluxline.storage import Storage
from fluxline_publisher.publication import Hub, commit_title
from fluxline_publisher.repositories import CreatedRepository, Repositories, models_prefix

log = get_logger(__name__)


class Remover:
    """Removes; doing it twice is doing it once. Every method may raise StorageError and what the hub raises."""

    def __init__(self, storage: Storage, hub: Hub) -> None:
        self.storage = storage
        self.hub = hub
        self.repositories = Repositories(storage)

    async def canceled(self, training_id: UUID) -> None:
        """Nothing remains of a canceled training, whatever its publication got to before."""
        if created := await self.repositories.created_for(training_id):
            await self._remove_repository(training_id, created)
        await self._remove_files(training_id)

    async def deleted(self, training_id: UUID, publication: HubPublication | None) -> None:
        """The model goes; its repository too where it is named, or was created and never announced."""
        created = await self.repositories.created_for(training_id)
        if created and (publication.repo == created.repo if publication else not created.announced):
            await self._remove_repository(training_id, created)
        elif publication:
            log.warning("repository.left", repo=publication.repo, reason="it was not created for this training")
        await self._remove_files(training_id)

    async def _remove_repository(self, training_id: UUID, created: CreatedRepository) -> None:
        if not await self.hub.remove(created.repo, commit_title(training_id)):
            log.warning("repository.left", repo=created.repo, reason="it holds commits of somebody else")

    async def _remove_files(self, training_id: UUID) -> None:
        """The note of the repository is among them, so this comes last."""
        keys = [item.key async for item in self.storage.list(models_prefix(training_id))]
        for key in keys:
            await self.storage.delete(key)
