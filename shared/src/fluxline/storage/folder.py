"""What the local folder does with its files, one blocking call each; keys are valid already."""

import os
import stat
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from fluxline.storage.errors import ObjectMissing, ObjectTooLarge
from fluxline.storage.files import copy_whole, finish_whole, prune, translated, write_whole
from fluxline.storage.interface import StoredObject

SCRATCH = ".incoming"
"""Where files are written before they appear; no key starts with a dot."""
ABANDONED_S = 24 * 3600.0


class Folder:
    """A file per key below `root`. Raises StorageError; see `Storage` for what each method does."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._scratch = root / SCRATCH
        with translated():
            self._scratch.mkdir(parents=True, exist_ok=True)
            self._remove_abandoned()

    def put(self, key: str, source: Path | bytes) -> StoredObject:
        """Store a file or bytes."""
        with translated():
            return _stored(key, write_whole(source, self._root / key, self._scratch))

    def begin(self) -> BinaryIO:
        """A new, empty file for what will be stored; nobody sees it before `finish`."""
        with translated():
            self._scratch.mkdir(parents=True, exist_ok=True)
            return (self._scratch / uuid4().hex).open("xb")

    def finish(self, key: str, part: BinaryIO) -> StoredObject:
        """Store what was written since `begin`."""
        with translated():
            return _stored(key, finish_whole(part, self._root / key))

    def drop(self, part: BinaryIO) -> None:
        """Let go of a file of `begin`, unless it is finished."""
        with translated():
            try:
                part.close()
            finally:
                Path(part.name).unlink(missing_ok=True)

    def get(self, key: str, target: Path) -> StoredObject:
        """Copy a stored file out."""
        with self.open(key) as file, translated():
            copy_whole(file, target)
            return _stored(key, os.fstat(file.fileno()))

    def read(self, key: str, max_bytes: int) -> bytes:
        """A small file's content."""
        with self.open(key) as file, translated():
            size = os.fstat(file.fileno()).st_size
            if size > max_bytes:
                raise ObjectTooLarge(key=key, size_bytes=size, max_bytes=max_bytes)
            return file.read(size)

    def stat(self, key: str) -> StoredObject | None:
        """What is stored under a key."""
        with translated():
            try:
                found = (self._root / key).stat()
            except (FileNotFoundError, NotADirectoryError):
                return None
        return _stored(key, found) if stat.S_ISREG(found.st_mode) else None

    def delete(self, key: str) -> None:
        """Remove a file, and the folders that it leaves empty."""
        path = self._root / key
        if self.stat(key) is not None:
            with translated():
                path.unlink(missing_ok=True)
                prune(path.parent, self._root)

    def open(self, key: str, offset: int = 0) -> BinaryIO:
        """A stored file, open for reading from `offset`; it stays the same file if it is replaced."""
        with translated():
            try:
                file = (self._root / key).open("rb")
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                raise ObjectMissing(key=key) from None
            file.seek(offset)
            return file

    def walk(self, prefix: str) -> Iterator[StoredObject]:
        """Every file whose key starts with `prefix`, by key; one folder in memory at a time."""
        folder = prefix.rpartition("/")[0]
        return self._below(f"{folder}/" if folder else "", prefix)

    def probe(self) -> None:
        """Write and remove a file."""
        path = self._scratch / uuid4().hex
        with translated():
            self._scratch.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"fluxline")
            path.unlink()

    def _below(self, folder: str, prefix: str) -> Iterator[StoredObject]:
        try:
            with translated(), os.scandir(self._root / folder) as entries:
                names = sorted(e.name + "/" * e.is_dir() for e in entries if not e.name.startswith("."))
        except (FileNotFoundError, NotADirectoryError):  # pruned meanwhile, or never there
            return
        for key in (folder + name for name in names):
            if key.endswith("/") and (key.startswith(prefix) or prefix.startswith(key)):
                yield from self._below(key, prefix)
            elif key.startswith(prefix) and (found := self.stat(key)) is not None:
                yield found

    def _remove_abandoned(self) -> None:
        """Drop what a killed process left half written."""
        for path in self._scratch.iterdir():
            try:
                if time.time() - path.stat().st_mtime > ABANDONED_S:
                    path.unlink()
            except FileNotFoundError:  # another process finished it or dropped it
                continue


def write_chunk(file: BinaryIO, chunk: bytes) -> None:
    """Append to an open file."""
    with translated():
        file.write(chunk)


def read_chunk(file: BinaryIO, size: int) -> bytes:
    """The next bytes of an open file, at most `size`; empty at its end."""
    with translated():
        return file.read(size)


def _stored(key: str, found: os.stat_result) -> StoredObject:
    return StoredObject(key, found.st_size, datetime.fromtimestamp(found.st_mtime, UTC))
