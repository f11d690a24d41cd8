"""What a backup says of itself: `manifest.json`, written last, so that a folder with one is a whole backup."""

import hashlib
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from fluxline_cli.backup.errors import BackupError

NAME = "manifest.json"
PREFIX = "fluxline-"
CHUNK_BYTES = 1 << 20


class _Facts(BaseModel):
    model_config = ConfigDict(frozen=True)


class CopiedFile(_Facts):
    """A file of the backup, and what its bytes have to be."""

    name: str
    size_bytes: int
    sha256: str


class DatabaseCopy(_Facts):
    """The dump of all schemas: one snapshot, taken at `taken_at` by the clock of the server."""

    file: CopiedFile
    taken_at: datetime
    server_version: str
    revisions: dict[str, str]
    """The migration that each schema was at."""
    rows: dict[str, int]
    """How many rows each table (`schema.table`, partitions by themselves) had."""


class StreamCopy(_Facts):
    """The messages of one stream, oldest first."""

    file: CopiedFile
    messages: int


class FileList(_Facts):
    """What was stored: names, sizes and times; not the bytes."""

    file: CopiedFile
    objects: int
    size_bytes: int


class Manifest(_Facts):
    """The whole backup. `event_sequence` is the last one of EVENTS before anything was copied."""

    format: Literal[1] = 1
    began_at: datetime
    seconds: float
    event_sequence: int
    database: DatabaseCopy
    streams: dict[str, StreamCopy]
    files: FileList | None

    @property
    def copies(self) -> Iterable[CopiedFile]:
        """Every file that has to be there."""
        copies = [self.database.file, *(stream.file for stream in self.streams.values())]
        return [*copies, self.files.file] if self.files else copies


def describe(path: Path) -> CopiedFile:
    """Size and checksum of a written file. Blocks."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return CopiedFile(name=path.name, size_bytes=path.stat().st_size, sha256=digest.hexdigest())


def read(folder: Path) -> Manifest:
    """The manifest of a backup; raises BackupError when there is none, or it is of another version."""
    try:
        return Manifest.model_validate_json((folder / NAME).read_text())
    except FileNotFoundError:
        raise BackupError(f"{folder} is no backup: it has no {NAME}", hint="name the folder of a backup") from None
    except ValidationError:
        hint = "it is damaged, or of another version of fluxline; use another backup"
        raise BackupError(f"{folder / NAME} cannot be read", hint=hint) from None


def check(folder: Path, manifest: Manifest) -> None:
    """Raise BackupError unless every file is there with the bytes that were written. Blocks."""
    for copy in manifest.copies:
        path = folder / copy.name
        if not path.is_file():
            raise BackupError(f"{path} is missing", hint="the backup is incomplete: use another one")
        if describe(path) != copy:
            raise BackupError(f"{path} is not what was written", hint="the backup is damaged: use another one")


def newest(folder: Path) -> Path:
    """`folder` itself if it is a backup, else the newest one in it; raises BackupError when there is none."""
    if (folder / NAME).exists():
        return folder
    found = whole(folder)
    if not found:
        raise BackupError(f"{folder} holds no backup", hint="name the folder that `fluxline backup --to` was given")
    return found[-1]


def whole(folder: Path) -> list[Path]:
    """The backups in a folder, oldest first; what was cut off has no manifest and is none."""
    return sorted(path.parent for path in folder.glob(f"{PREFIX}*/{NAME}"))
