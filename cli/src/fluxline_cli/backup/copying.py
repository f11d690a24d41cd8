"""Making a backup: a folder that is whole or not there.

The streams come before the database, so that they never know of an end that it has not heard of: what they lack then is
sent again from the outboxes.
"""

import asyncio
import os
import shutil
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from fluxline.contracts.catalog import EVENTS_STREAM
from fluxline_cli.backup import database, files, manifest, streams
from fluxline_cli.backup.errors import BackupError
from fluxline_cli.backup.manifest import Manifest
from fluxline_cli.backup.system import System

Say = Callable[[str], None]


async def make_backup(system: System, parent: Path, say: Say) -> Path:
    """Copy the running system into a new folder of `parent`; returns it. Raises BackupError or QueueUnreachable."""
    name = f"{manifest.PREFIX}{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    target, partial = parent / name, parent / f".{name}.partial"
    if target.exists():
        raise BackupError(f"{target} is there already", hint="wait a second and try again")
    partial.mkdir(parents=True, mode=0o700)
    try:
        made = await _copy(system, partial, say)
        _write(partial / manifest.NAME, made.model_dump_json(indent=2))
        await asyncio.to_thread(_to_disk, partial)
        partial.rename(target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    _to_disk(parent)
    return target


def drop_old(parent: Path, keep: int) -> list[Path]:
    """Remove all but the newest `keep` backups, and what was cut off a day ago; returns the backups removed."""
    old = manifest.whole(parent)[:-keep]
    day_ago = time.time() - 86_400
    cut_off = [path for path in parent.glob(f".{manifest.PREFIX}*.partial") if path.stat().st_mtime < day_ago]
    for path in [*old, *cut_off]:
        shutil.rmtree(path)
    return old


async def _copy(system: System, folder: Path, say: Say) -> Manifest:
    began_at, began = datetime.now(UTC), time.monotonic()
    copied = {}
    async with system.jetstream() as jetstream:
        _, event_sequence = await streams.state_of(jetstream, EVENTS_STREAM.name)
        for name in streams.COPIED:
            copied[name] = await streams.copy(jetstream, name, folder / f"{name}.jsonl.gz")
            say(f"NATS: {copied[name].messages} messages of {name}")
    dumped = await database.dump(system.database_url, folder / "postgres.dump")
    say(f"PostgreSQL: {sum(dumped.rows.values())} rows, {dumped.file.size_bytes / 1e6:.1f} MB")
    listed = None
    if system.storage is None:
        say("storage: none is configured here, so its files are not listed")
    else:
        listed = await files.write_list(system.storage, folder / "files.jsonl.gz")
        say(f"storage: {listed.objects} files, {listed.size_bytes / 1e6:.1f} MB, listed: their bytes stay there")
    return Manifest(
        began_at=began_at,
        seconds=round(time.monotonic() - began, 2),
        event_sequence=event_sequence,
        database=dumped,
        streams=copied,
        files=listed,
    )


def _write(path: Path, text: str) -> None:
    path.write_text(text + "\n")


def _to_disk(folder: Path) -> None:
    """Ask the disk to have it (fsync), files first. Blocks."""
    for path in [*(each for each in folder.iterdir() if each.is_file()), folder]:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
