"""Files that appear whole or not at all, and the system's errors as ours."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO
from uuid import uuid4

from fluxline.storage.errors import InvalidKey, StorageDenied, StorageError, StorageFailed, StorageFull

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}
_SHAPE = {errno.EISDIR, errno.ENOTDIR, errno.ENOTEMPTY, errno.EEXIST}
ATTEMPTS = 5
COPY_BYTES = 1 << 20


def storage_error(error: OSError) -> StorageError:
    """An error of the file system as ours, by its number (errno)."""
    context: dict[str, Any] = {"errno": errno.errorcode.get(error.errno or 0, "unknown")}
    if error.errno in _FULL:
        return StorageFull(**context)
    if error.errno in _DENIED:
        hint = "Let the service's user read and write the folder STORAGE_DIR and the temporary folder."
        return StorageDenied("The storage folder may not be used.", hint=hint, **context)
    if error.errno in _SHAPE:
        return InvalidKey("A storage key names a folder of other files, or goes through a file.", **context)
    return StorageFailed("The file system failed.", **context)


@contextmanager
def translated() -> Iterator[None]:
    """Turns errors of the file system into ours; a missing file stays FileNotFoundError, the caller knows which."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise storage_error(error) from error


def write_whole(source: Path | bytes, target: Path, scratch: Path) -> os.stat_result:
    """Put `source` at `target` durably: written and synced in `scratch` (same file system), then renamed.

    Raises FileNotFoundError when `source` is a path without a file.
    """
    part = scratch / uuid4().hex
    try:
        written = _copy_synced(source, part)
        _place(part, target)
    finally:
        part.unlink(missing_ok=True)
    return written


def finish_whole(part: BinaryIO, target: Path) -> os.stat_result:
    """Put a written file at `target` durably, and close it: synced, then renamed."""
    with part:
        part.flush()
        os.fsync(part.fileno())
        written = os.fstat(part.fileno())
    _place(Path(part.name), target)
    return written


def copy_whole(source: BinaryIO, target: Path) -> None:
    """Copy an open file to `target`, which appears when it is complete; not synced."""
    part = target.with_name(f".{uuid4().hex}.part")
    try:
        with part.open("xb") as out:
            shutil.copyfileobj(source, out, COPY_BYTES)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def prune(folder: Path, root: Path) -> None:
    """Remove `folder` and its parents below `root` as far as they are empty."""
    while folder != root:
        try:
            folder.rmdir()
        except OSError:  # not empty, or gone already
            return
        folder = folder.parent


def _copy_synced(source: Path | bytes, part: Path) -> os.stat_result:
    with BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file, part.open("xb") as out:
        shutil.copyfileobj(file, out, COPY_BYTES)
        out.flush()
        os.fsync(out.fileno())
        return os.fstat(out.fileno())


def _place(part: Path, target: Path) -> None:
    """Rename into a folder that a concurrent delete may be pruning: make the folder again if it went."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            _make_folder(target.parent)
            part.replace(target)
            break
        except FileNotFoundError:
            if attempt == ATTEMPTS:
                raise
    with suppress(FileNotFoundError):  # deleted and pruned already
        _sync_folder(target.parent)


def _make_folder(folder: Path) -> None:
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    """Make names in `folder` survive a power cut, which syncing the file alone does not (fsync(2))."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
