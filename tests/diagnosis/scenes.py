"""What some rows do to the stack besides planning faults of the providers."""

import asyncio
import hashlib
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from e2e.running import upload
from faults.full_folder import takes_nothing
from photos import write_photos
from polling import poll_until

from .row import Row

if TYPE_CHECKING:
    from .run import Run

Ask = Callable[[], Awaitable[str]]
_SPOILT = 2
_SEEDS = {"gone": 701, "damaged": 702}


async def images_of(row: Row, run: "Run") -> list[str] | None:
    """Images of the row's own, two of them gone or overwritten in storage; None where the crowd's will do."""
    if row.scene not in _SEEDS:
        return None
    folder = run.stack.home.parent / row.name
    photos = await asyncio.to_thread(write_photos, folder, 6, (640, 600), _SEEDS[row.scene])
    images = await upload(run.api, photos)
    for photo in photos[:_SPOILT]:
        path = _stored(run.stack.home / "storage" / "uploads", photo)
        if row.scene == "gone":
            path.unlink()
        else:
            path.write_bytes(b"this is no photo")
    return images


def _stored(uploads: Path, photo: Path) -> Path:
    """Where an upload lies, which is named by the hash of its content."""
    [path] = uploads.rglob(f"{hashlib.sha256(photo.read_bytes()).hexdigest()}.*")
    return path


@asynccontextmanager
async def around(row: Row, run: "Run") -> AsyncIterator[Ask]:
    """How the row's job is asked for, and what is broken until it has come far enough."""

    async def ask() -> str:
        return await run.submit(row)

    scenes = {
        "storage-denied": _storage_denied,
        "unreachable": _unreachable,
        "archive-gone": _archive_gone,
        "weights-gone": _weights_gone,
    }
    if row.scene not in scenes:
        yield ask
        return
    async with scenes[row.scene](row, run) as ask_so:
        yield ask_so


@asynccontextmanager
async def _storage_denied(row: Row, run: "Run") -> AsyncIterator[Ask]:
    async def ask() -> str:
        training_id = await run.submit(row)
        await run.until(training_id)
        return training_id

    with takes_nothing(run.stack.home / "storage"):
        yield ask


@asynccontextmanager
async def _unreachable(row: Row, run: "Run") -> AsyncIterator[Ask]:
    """The link to the providers is open again once the collector knows of a failed attempt."""

    async def ask() -> str:
        training_id = await run.submit(row)

        async def failed_once() -> bool:
            answer = await run.api.get(f"/v1/trainings/{training_id}/debug")
            return answer.status_code == 200 and answer.json()["retryable_errors"] > 0

        await poll_until(failed_once, timeout_s=60, interval_s=0.1)
        return training_id

    async with run.stack.link("sandbox", "cut"):
        yield ask


@asynccontextmanager
async def _gone(row: Row, run: "Run", *, folder: str, status: str, reader: str) -> AsyncIterator[Ask]:
    """What a stage has stored disappears before the service that is to read it does."""

    async def ask() -> str:
        training_id = await run.submit(row)
        await run.until(training_id, status)
        await _removed(run.stack.home / "storage" / folder / training_id)
        return training_id

    async with run.stack.without(reader):
        yield ask


_archive_gone = partial(_gone, folder="zips", status="training", reader="trainer")
_weights_gone = partial(_gone, folder="weights", status="publishing", reader="publisher")


async def _removed(folder: Path) -> None:
    await poll_until(folder.exists, timeout_s=20)
    shutil.rmtree(folder)
