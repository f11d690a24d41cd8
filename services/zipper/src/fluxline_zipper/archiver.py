"""The work: a training's uploaded photos, as many at a time as there are cores, become one verified archive."""

import asyncio
import hashlib
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar, Final
from uuid import UUID

from fluxline.contracts.errors import ErrorCategory, FluxlineError
from fluxline.contracts.job import ImageRef, ImageVerdict
from fluxline.contracts.limits import MAX_IMAGE_BYTES, MAX_IMAGE_PIXELS, MIN_IMAGES
from fluxline.images import ImageRejected
from fluxline.storage import ObjectMissing, ObjectTooLarge, Storage
from fluxline.storage.threads import Threads
from fluxline_zipper.archive import ArchiveFacts, PreparedPhoto, build, verify
from fluxline_zipper.photo import Photo, prepare
from fluxline_zipper.pixel_budget import PixelBudget

_DOWNLOADS: Final = 2
_MOST_WORKERS: Final = 4
"""Each has a file of up to 25 MB in memory, however many cores there are."""
_UNREADABLE: Final = frozenset({"missing", "hash_mismatch", "empty_file", "not_an_image", "truncated"})
"""Verdicts on a stored file, not on the photo that somebody chose."""


@dataclass(frozen=True)
class Progress:
    """`done` of `total` photos are judged; `current` is the last one's generated name, or its key when refused."""

    done: int
    total: int
    current: str
    size_bytes: int


Report = Callable[[Progress], Awaitable[None]]
Wanted = Callable[[], Awaitable[bool]]
"""Whether the archive is still wanted: its training may be canceled at any moment."""


@dataclass(frozen=True)
class StoredArchive:
    """An archive that lies in storage under `key` and was opened again from there."""

    key: str
    facts: ArchiveFacts
    verdicts: tuple[ImageVerdict, ...]


class TooFewPhotos(FluxlineError):
    """Too few of the photos are usable."""

    category: ClassVar[ErrorCategory] = ErrorCategory.VALIDATION


class PhotosUnreadable(TooFewPhotos):
    """Too few of the photos are usable, because stored files are gone, changed or damaged."""

    category: ClassVar[ErrorCategory] = ErrorCategory.FILE_ERROR


class ArchiveChanged(FluxlineError):
    """The archive came back from storage with other bytes than were stored."""

    category: ClassVar[ErrorCategory] = ErrorCategory.SERVICE_ERROR
    hint = "It is stored again by itself; if it keeps happening, look at the storage."


class Archiver:
    """Builds, stores and deletes archives; disk use is one set of prepared photos and one archive twice.

    `workers` photos are prepared at a time (None: one for each core, at most four). In memory are their files and
    the next one's, and decoded pixels of one photo of the largest size, or of several smaller ones.
    """

    def __init__(self, storage: Storage, *, longest_side: int, workers: int | None = None) -> None:
        self.storage = storage
        self.longest_side = longest_side
        self._workers = workers or min(_cores(), _MOST_WORKERS)
        self._threads = Threads(self._workers, "photos")
        self._pixels = PixelBudget(MAX_IMAGE_PIXELS)

    async def bundle(
        self,
        training_id: UUID,
        images: Sequence[ImageRef],
        *,
        default_caption: str | None,
        report: Report,
        wanted: Wanted,
        run: int = 0,
    ) -> StoredArchive | None:
        """Judge every photo, archive the good ones, store the archive and open it as stored.

        `default_caption` stands in where an image has none; None leaves those without. The same photos of the same
        `run` give the same bytes and so the same key. None, and nothing of it stored, when it is not wanted any more.
        Raises TooFewPhotos (PhotosUnreadable where the stored files are to blame), ArchiveChanged, ArchiveInvalid,
        StorageError.
        """
        with TemporaryDirectory(prefix="zipper-") as name:
            folder = Path(name)
            verdicts = await self._judge_all(images, folder, report)
            _require_enough(verdicts)
            captions = _captions(images, verdicts, default_caption)
            target = folder / "archive.zip"
            await asyncio.to_thread(_build, folder, captions, target)
            if not await wanted():
                return None
            key, facts = await self._store(_folder(training_id, run), target, len(captions))
        if not await wanted():  # a cancelation cleans up once: what was stored after that is ours to remove
            await self._delete_all(_folder(training_id, run))
            return None
        return StoredArchive(key, facts, tuple(verdicts))

    async def clean(self, training_id: UUID) -> None:
        """Delete every archive of the training; nothing happens when there is none."""
        await self._delete_all(f"zips/{training_id}/")

    async def close(self) -> None:
        """Let go of the threads."""
        await self._threads.close()

    async def _delete_all(self, prefix: str) -> None:
        keys = [item.key async for item in self.storage.list(prefix)]
        for key in keys:
            await self.storage.delete(key)

    async def _judge_all(self, images: Sequence[ImageRef], folder: Path, report: Report) -> list[ImageVerdict]:
        """Verdicts in the order of the images; a photo gets its name once every photo before it has its verdict."""
        gate = asyncio.Semaphore(self._workers + 1)
        tasks = [asyncio.create_task(self._judge(ref, folder / f"{place}", gate)) for place, ref in enumerate(images)]
        verdicts: list[ImageVerdict] = []
        size_bytes = 0
        try:
            for place, task in enumerate(tasks):
                verdict = await task
                if verdict.accepted:
                    name = _archive_name(1 + sum(earlier.accepted for earlier in verdicts))
                    size_bytes += (folder / f"{place}").rename(folder / name).stat().st_size
                    verdict = verdict.model_copy(update={"archive_name": name})
                verdicts.append(verdict)
                await report(Progress(len(verdicts), len(images), verdict.archive_name or verdict.key, size_bytes))
        finally:
            await _ended(tasks)
        return verdicts

    async def _judge(self, ref: ImageRef, prepared: Path, gate: asyncio.Semaphore) -> ImageVerdict:
        """Prepare one photo into `prepared`, or say why not."""
        try:
            async with gate:
                photo = await self._prepared(ref)
                await self._threads.run(prepared.write_bytes, photo.jpeg)
        except ImageRejected as rejected:
            return ImageVerdict(
                key=ref.key, sha256=ref.sha256, accepted=False, code=rejected.code, reason=rejected.reason
            )
        return ImageVerdict(key=ref.key, sha256=ref.sha256, accepted=True, width=photo.width, height=photo.height)

    async def _prepared(self, ref: ImageRef) -> Photo:
        """The photo from its uploaded bytes as they were checked; a wrong hash gets a second download."""
        for _ in range(_DOWNLOADS):
            content = await self._download(ref)
            if photo := await self._threads.run(_prepare, content, ref.sha256, self.longest_side, self._pixels):
                return photo
        raise _changed()

    async def _download(self, ref: ImageRef) -> bytes:
        try:
            return await self.storage.read(ref.key, max_bytes=MAX_IMAGE_BYTES)
        except ObjectMissing as error:
            raise ImageRejected("missing", "The uploaded photo is gone from storage. Upload it again.") from error
        except ObjectTooLarge as error:  # larger than any that was accepted
            raise _changed() from error

    async def _store(self, folder: str, path: Path, count: int) -> tuple[str, ArchiveFacts]:
        """Put the archive, read it back, and check what came back as a trainer would."""
        sha256 = await asyncio.to_thread(_sha256, path)
        key = f"{folder}{sha256[:16]}.zip"
        await self.storage.put(key, path, content_type="application/zip")
        stored = path.with_name("stored.zip")
        await self.storage.get(key, stored)
        if await asyncio.to_thread(_sha256, stored) != sha256:
            raise ArchiveChanged(key=key)
        facts = await asyncio.to_thread(verify, stored, image_count=count, longest_side=self.longest_side)
        return key, facts


def _cores() -> int:
    """That this process may use, where the system tells."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _changed() -> ImageRejected:
    return ImageRejected("hash_mismatch", "The stored photo is not the one that was uploaded. Upload it again.")


def _folder(training_id: UUID, run: int) -> str:
    """A run has a folder of its own, so that a late attempt of an older one removes nothing of a newer one."""
    return f"zips/{training_id}/{run}/"


def _archive_name(number: int) -> str:
    return f"image_{number:03d}.jpg"


def _captions(images: Sequence[ImageRef], verdicts: Sequence[ImageVerdict], default: str | None) -> list[str | None]:
    """The captions of the accepted photos, in the archive's order."""
    pairs = zip(images, verdicts, strict=True)
    return [ref.caption or default for ref, verdict in pairs if verdict.accepted]


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


def _build(folder: Path, captions: Sequence[str | None], target: Path) -> None:
    """Archive the prepared photos in order; each is read only when its turn comes."""
    photos = (
        PreparedPhoto((folder / _archive_name(number)).read_bytes(), caption)
        for number, caption in enumerate(captions, start=1)
    )
    build(photos, target)


def _require_enough(verdicts: Sequence[ImageVerdict]) -> None:
    good = sum(verdict.accepted for verdict in verdicts)
    if good >= MIN_IMAGES:
        return
    refused = [f"{Path(verdict.key).name}: {verdict.reason}" for verdict in verdicts if not verdict.accepted]
    replace = f" Replace these: {' | '.join(refused)}" if refused else ""
    unreadable = sum(verdict.code in _UNREADABLE for verdict in verdicts)
    kind = PhotosUnreadable if good + unreadable >= MIN_IMAGES else TooFewPhotos
    raise kind(
        f"Only {good} of {len(verdicts)} photos are usable",
        hint=f"At least {MIN_IMAGES} usable photos are needed.{replace}",
        usable=good,
        total=len(verdicts),
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
