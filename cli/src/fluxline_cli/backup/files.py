"""What the object storage holds: listed in a backup, and compared with the database after a restore."""

import gzip
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

from fluxline.storage import Storage
from fluxline_cli.backup.manifest import FileList, describe

_OF_A_TRAINING = re.compile(r"(?:zips|weights|models)/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/")


class Differences(NamedTuple):
    """Stored files that the database counts on and the storage lacks, and trainings that only the storage knows."""

    missing: list[str]
    unknown_trainings: list[UUID]


async def write_list(storage: Storage, target: Path) -> FileList:
    """Write a line for each stored file: key, size and time."""
    objects = size_bytes = 0
    with gzip.open(target, "wt", encoding="utf-8") as file:
        async for stored in storage.list(""):
            facts = {"key": stored.key, "size_bytes": stored.size_bytes, "stored_at": stored.last_modified.isoformat()}
            file.write(json.dumps(facts) + "\n")
            objects += 1
            size_bytes += stored.size_bytes
    return FileList(file=describe(target), objects=objects, size_bytes=size_bytes)


async def differences(storage: Storage, needed: Iterable[str], trainings: set[UUID]) -> Differences:
    """What `storage` lacks of the `needed` keys, and which of its files belong to none of the `trainings`."""
    missing = set(needed)
    unknown: set[UUID] = set()
    async for stored in storage.list(""):
        missing.discard(stored.key)
        if (found := _OF_A_TRAINING.match(stored.key)) and UUID(found[1]) not in trainings:
            unknown.add(UUID(found[1]))
    return Differences(sorted(missing), sorted(unknown))
