"""A training's photos, as many at a time as there are cores: each is prepared, or refused with a reason."""

import asyncio
import hashlib
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fluxline.contracts.job import ImageRef, ImageVerdict
from fluxline.contracts.limits import MAX_IMAGE_BYTES, MAX_IMAGE_PIXELS
from fluxline.images import ImageRejected
from fluxline.storage import ObjectMissing, ObjectTooLarge, Storage
from fluxline.storage.threads import Threads
from fluxline_zipper.metrics import ImageMetrics
from fluxline_zipper.photo import Photo, prepare
from fluxline_zipper.pixel_budget import PixelBudget

_DOWNLOADS: Final = 2
_MOST_WORKERS: Final = 4
"""Each has a file of up to 25 MB in memory, however many cores there are."""


@dataclass(frozen=True)
class Progress:
    """`done` of `total` photos are judged; `current` is the last one's generated name, or its key when refused."""

    done: int
    total: int
    current: str
    size_bytes: int


Report = Callable[[Progress], Awaitable[None]]


class Judge:
    """`workers` photos are prepared at a time (None: one for each core, at most four).

    In memory are their files and the next one's, and decoded pixels of one photo of the largest size, or of several
    smaller ones.
    """

    def __init__(
        self, storage: Storage, *, longest_side: int, workers: int | None = None, metrics: ImageMetrics | None = None
    ) -> None:
        self.storage = storage
        self.longest_side = longest_side
        self.metrics = metrics or ImageMetrics()
        self._workers = workers or min(_cores(), _MOST_WORKERS)
        self._threads = Threads(self._workers, "photos")
        self._pixels = PixelBudget(MAX_IMAGE_PIXELS)

    async def all(self, images: Sequence[ImageRef], folder: Path, report: Report) -> list[ImageVerdict]:
        """Verdicts in the order of the images; a photo gets its name once every photo before it has its verdict."""
        gate = asyncio.Semaphore(self._workers + 1)
        tasks = [asyncio.create_task(self._one(ref, folder / f"{place}", gate)) for place, ref in enumerate(images)]
        verdicts: list[ImageVerdict] = []
        size_bytes = 0
        try:
            for place, task in enumerate(tasks):
                verdict = await task
                if verdict.accepted:
                    name = archive_name(1 + sum(earlier.accepted for earlier in verdicts))
                    size_bytes += (folder / f"{place}").rename(folder / name).stat().st_size
                    verdict = verdict.model_copy(update={"archive_name": name})
                verdicts.append(verdict)
                await report(Progress(len(verdicts), len(images), verdict.archive_name or verdict.key, size_bytes))
        finally:
            await _ended(tasks)
        return verdicts

    async def _one(self, ref: ImageRef, prepared: Path, gate: asyncio.Semaphore) -> ImageVerdict:
        """Prepare one photo into `prepared`, or say why not."""
        try:
            async with gate:
                with self.metrics.judging():
                    photo = await self._prepared(ref)
                await self._threads.run(prepared.write_bytes, photo.jpeg)
        except ImageRejected as rejected:
            self.metrics.refuse(rejected.code)
            return ImageVerdict(
                key=ref.key, sha256=ref.sha256, accepted=False, code=rejected.code, reason=rejected.reason
            )
        return ImageVerdict(key=ref.key, sha256=ref.sha256, accepted=True, width=photo.width, height=photo.height)

    async def _prepared(self, ref: ImageRef) -> Photo:
        """The photo from its uploaded bytes as they were checked; a wrong hash gets a second download."""
        for _ in range(_DOWNLOADS):
            content = await self._download(ref)
            if photo := await self._threads.run(_prepare, content, ref.sha256, self.longest_side, self._pixels):
                self.metrics.accept(len(content), len(photo.jpeg))
                return photo
        raise _changed()

    async def _download(self, ref: ImageRef) -> bytes:
        try:
            return await self.storage.read(ref.key, max_bytes=MAX_IMAGE_BYTES)
        except ObjectMissing as error:
            raise ImageRejected("missing", "The uploaded photo is gone from storage. Upload it again.") from error
        except ObjectTooLarge as error:  # larger than any that was accepted
            raise _changed() from error

    async def close(self) -> None:
        """Let go of the threads."""
        await self._threads.close()


def archive_name(number: int) -> str:
    """Of the prepared photo with this number, from 1 on."""
    return f"image_{number:03d}.jpg"


def _cores() -> int:
    """That this process may use, where the system tells."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _changed() -> ImageRejected:
    return ImageRejected("hash_mismatch", "The stored photo is not the one that was uploaded. Upload it again.")


def _prepare(content: bytes, sha256: str, longest_side: int, pixels: PixelBudget) -> Photo | None:
    """The photo; None when these are not the bytes with that hash."""
    if hashlib.sha256(content).hexdigest() != sha256:
        return None
    return prepare(content, longest_side=longest_side, pixels=pixels)


async def _ended(tasks: Sequence[asyncio.Task[ImageVerdict]]) -> None:
    """Cancel what is left of them, so that nothing is written any more."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
