"""What completing an upload does: each file that lies in the storage becomes an image, or gets a reason why not.

A file is judged, then its verdict is stored, then it goes from the storage: whatever is interrupted is done again.
"""

import asyncio
import hashlib
from collections.abc import Coroutine, Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from fluxline.storage import ObjectMissing, StoredObject
from fluxline_gateway.deps import Gateway
from fluxline_gateway.images.store import Image, ImageStore
from fluxline_gateway.images.upload_store import Upload, UploadFile, UploadStore
from fluxline_gateway.images.verdicts import RejectedFile, judge

FILES_AT_ONCE: Final = 2
"""Of one upload: so many lie on the gateway's disk, and wait for their turn to be decoded."""
MISSING: Final = "missing"
_MISSING_REASON: Final = "The file has not arrived. Send it by its link, then complete the upload again."


async def complete(gateway: Gateway, images: ImageStore, uploads: UploadStore, upload: Upload) -> None:
    """Judge what has arrived. Raises storage and database errors; what was judged before one is kept."""
    staged = await staged_files(gateway, upload)
    slots = asyncio.Semaphore(FILES_AT_ONCE)

    async def finish(file: UploadFile, folder: Path) -> None:
        async with slots:
            verdict = await _verdict(gateway, images, upload.owner, file, staged[file.storage_key], folder)
            if verdict is None:
                return
            if isinstance(verdict, Image):
                await uploads.settle(upload.id, file.number, image_id=verdict.id)
            else:
                await uploads.settle(upload.id, file.number, code=verdict.code, reason=verdict.reason)
            await gateway.storage.delete(file.storage_key)

    with TemporaryDirectory(prefix="fluxline-upload-") as folder:
        await _all(finish(file, Path(folder)) for file in upload.files if file.storage_key in staged)


async def staged_files(gateway: Gateway, upload: Upload) -> dict[str, StoredObject]:
    """What lies in the storage for an upload, by key."""
    return {stored.key: stored async for stored in gateway.storage.list(upload.folder)}


def rejection_of(file: UploadFile) -> RejectedFile:
    """Why a file is no image: its stored verdict, or that it has not arrived."""
    if file.code is None or file.reason is None:
        return RejectedFile(filename=file.filename, code=MISSING, reason=_MISSING_REASON)
    return RejectedFile(filename=file.filename, code=file.code, reason=file.reason)


async def _verdict(
    gateway: Gateway, images: ImageStore, owner: str, file: UploadFile, stored: StoredObject, folder: Path
) -> Image | RejectedFile | None:
    """What becomes of a file; None when somebody else has just finished with it."""
    if stored.size_bytes != file.size_bytes:
        reason = f"{stored.size_bytes} bytes arrived, {file.size_bytes} were announced. Send the file again."
        return RejectedFile(filename=file.filename, code="size_mismatch", reason=reason)
    path = folder / str(file.number)
    try:
        await gateway.storage.get(file.storage_key, path)
        if file.sha256 and await asyncio.to_thread(_sha256, path) != file.sha256:
            reason = "What arrived has another SHA-256 than was announced. Send the file again."
            return RejectedFile(filename=file.filename, code="checksum_mismatch", reason=reason)
        return await judge(gateway, images, owner, file.filename, path)
    except ObjectMissing:
        return None
    finally:
        await asyncio.to_thread(path.unlink, missing_ok=True)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


async def _all(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Do it side by side; when one fails, the others have ended too before its error is raised."""
    tasks = [asyncio.create_task(each) for each in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
