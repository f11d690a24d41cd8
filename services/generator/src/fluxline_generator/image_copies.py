"""From a provider's results to files of ours that say how they were made."""

import asyncio
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from PIL import Image

from fluxline.storage import Storage
from fluxline.storage.files import translated as disk_errors
from fluxline_generator.errors import ImageUnusable
from fluxline_generator.image_files import extension_of
from fluxline_generator.marks import marked
from fluxline_generator.provider import Provider
from fluxline_generator.store import Generation
from fluxline_generator.stored_images import images_prefix

_DOWNLOADS: Final = 2
_WEBP_QUALITY: Final = 90


class ImageCopies:
    """Copies results into our storage, one at a time."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage

    async def store(self, provider: Provider, generation: Generation, urls: list[str]) -> list[str]:
        """The keys. Raises ImageUnusable, ProviderError, StorageError."""
        keys = []
        with disk_errors(), TemporaryDirectory(prefix="generator-") as folder:
            for number, url in enumerate(urls):
                file = Path(folder) / "image"
                extension = await self._download(provider, url, file)
                extension = await asyncio.to_thread(_finish, file, extension, generation)
                key = f"{images_prefix(generation.generation_id)}{number}.{extension}"
                content_type = f"image/{extension.replace('jpg', 'jpeg')}"
                await self.storage.put(key, file, content_type=content_type)
                keys.append(key)
        return keys

    async def _download(self, provider: Provider, url: str, file: Path) -> str:
        """Copy one image and tell its extension; what is no whole image gets a second download."""
        for _ in range(_DOWNLOADS):
            await provider.download(url, file)
            extension = await asyncio.to_thread(extension_of, file)
            if extension is not None:
                return extension
        raise ImageUnusable("The provider delivered something that is no whole JPEG, PNG or WebP image")


def _finish(file: Path, extension: str, generation: Generation) -> str:
    """Write prompt and parameters into the image, as WebP where that was asked of a provider without it."""
    image = file.read_bytes()
    try:
        if generation.wanted and generation.wanted.output_format == "webp" and extension == "png":
            image, extension = _webp(image), "webp"
        image = marked(image, generation.order.prompt, generation.order.used | {"provider": generation.provider})
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise ImageUnusable("The provider delivered an image that cannot be read") from error
    part = file.with_suffix(".part")
    part.write_bytes(image)
    part.replace(file)
    return extension


def _webp(image: bytes) -> bytes:
    out = BytesIO()
    with Image.open(BytesIO(image)) as opened:
        opened.save(out, "WEBP", quality=_WEBP_QUALITY)
    return out.getvalue()
