"""The work: a training's uploaded photos become one verified archive in storage."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar, Final
from uuid import UUID

from fluxline.contracts.errors import ErrorCategory, FluxlineError
from fluxline.contracts.job import ImageRef, ImageVerdict
from fluxline.contracts.limits import MIN_IMAGES
from fluxline.storage import Storage
from fluxline_zipper.archive import ArchiveFacts, PreparedPhoto, build, verify
from fluxline_zipper.judging import Judge, Report, archive_name
from fluxline_zipper.metrics import ImageMetrics

_UNREADABLE: Final = frozenset({"missing", "hash_mismatch", "empty_file", "not_an_image", "truncated"})
"""Verdicts on a stored file, not on the photo that somebody chose."""


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
    """Builds, stores and deletes archives; disk use is one set of prepared photos and one archive twice."""

    def __init__(
        self, storage: Storage, *, longest_side: int, workers: int | None = None, metrics: ImageMetrics | None = None
    ) -> None:
        self.storage = storage
        self.judge = Judge(storage, longest_side=longest_side, workers=workers, metrics=metrics)

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
            verdicts = await self.judge.all(images, folder, report)
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
        """Let go of the judge's threads."""
        await self.judge.close()

    async def _delete_all(self, prefix: str) -> None:
        keys = [item.key async for item in self.storage.list(prefix)]
        for key in keys:
            await self.storage.delete(key)

    async def _store(self, folder: str, path: Path, count: int) -> tuple[str, ArchiveFacts]:
        """Put the archive, read it back, and check what came back as a trainer would."""
        sha256 = await asyncio.to_thread(_sha256, path)
        key = f"{folder}{sha256[:16]}.zip"
        await self.storage.put(key, path, content_type="application/zip")
        stored = path.with_name("stored.zip")
        await self.storage.get(key, stored)
        if await asyncio.to_thread(_sha256, stored) != sha256:
            raise ArchiveChanged(key=key)
        facts = await asyncio.to_thread(verify, stored, image_count=count, longest_side=self.judge.longest_side)
        return key, facts


def _folder(training_id: UUID, run: int) -> str:
    """A run has a folder of its own, so that a late attempt of an older one removes nothing of a newer one."""
    return f"zips/{training_id}/{run}/"


def _captions(images: Sequence[ImageRef], verdicts: Sequence[ImageVerdict], default: str | None) -> list[str | None]:
    """The captions of the accepted photos, in the archive's order."""
    pairs = zip(images, verdicts, strict=True)
    return [ref.caption or default for ref, verdict in pairs if verdict.accepted]


def _build(folder: Path, captions: Sequence[str | None], target: Path) -> None:
    """Archive the prepared photos in order; each is read only when its turn comes."""
    photos = (
        PreparedPhoto((folder / archive_name(number)).read_bytes(), caption)
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
