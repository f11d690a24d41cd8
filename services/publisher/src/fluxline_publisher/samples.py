"""The work of showing sample images: stored images become files beside the model card, in one commit with it."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from fluxline.contracts.events import ModelCardRequested
from fluxline.image_formats import image_format
from fluxline.runtime.logs import get_logger
from fluxline.storage import ObjectMissing, Storage
from fluxline_publisher.errors import SampleUnusable
from fluxline_publisher.publication import IMAGES, CardUpdate, Hub

_HEAD_BYTES: Final = 64
_EXTENSIONS: Final = {"jpeg": "jpg", "png": "png", "webp": "webp"}

log = get_logger(__name__)


class SampleGallery:
    """Puts sample images on model cards; doing it twice is doing it once."""

    def __init__(self, storage: Storage, hub: Hub) -> None:
        self.storage = storage
        self.hub = hub

    async def show(self, request: ModelCardRequested) -> str | None:
        """The commit (40 hex) that has the card with its images; None where there is nothing to show them in any more.

        Raises SampleUnusable, CardInvalid, StorageError and what the hub raises.
        """
        with TemporaryDirectory(prefix="publisher-") as folder:
            try:
                images = await self._fetch(request, Path(folder))
            except ObjectMissing:
                log.info("card.left", repo=request.huggingface.repo, reason="its images are gone with their training")
                return None
            commit = await self.hub.update_card(request.huggingface.repo, CardUpdate(request, images))
        if commit is None:
            log.info("card.left", repo=request.huggingface.repo, reason="the repository is gone, or shows newer ones")
        return commit

    async def _fetch(self, request: ModelCardRequested, folder: Path) -> dict[str, Path]:
        """The images by their paths in the repository, in order; the extension is that of the content."""
        images = {}
        for number, sample in enumerate(request.samples, 1):
            target = folder / str(number)
            await self.storage.get(sample.image_key, target)
            images[f"{IMAGES}{number}.{_extension(target, sample.image_key)}"] = target
        return images


def _extension(image: Path, key: str) -> str:
    with image.open("rb") as file:
        extension = _EXTENSIONS.get(image_format(file.read(_HEAD_BYTES)) or "")
    if extension is None:
        raise SampleUnusable(key=key)
    return extension
