"""Our archive stage, as the zipper runs it: photos in a storage become an archive that was read back and verified.

python stage.py SIDE ARCHIVE WORKERS FILES...
"""

import asyncio
import hashlib
import sys
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

from own_cost import told

from fluxline.contracts.job import ImageRef
from fluxline.contracts.limits import MAX_IMAGE_BYTES, MIN_IMAGES
from fluxline.storage.local import LocalStorage
from fluxline_zipper.archiver import Archiver, Progress


async def stored(storage: LocalStorage, path: Path, number: int) -> ImageRef:
    """A photo as an upload leaves it."""
    key = f"uploads/bench/{number}{path.suffix}"
    await storage.put(key, path, content_type="application/octet-stream")
    return ImageRef(key=key, sha256=hashlib.sha256(await storage.read(key, max_bytes=MAX_IMAGE_BYTES)).hexdigest())


async def main(side: int, target: Path, workers: int, paths: list[Path]) -> None:
    """Bundle them once; what is measured begins and ends with the stage."""

    async def report(_progress: Progress) -> None:
        return

    async def wanted() -> bool:
        return True

    with TemporaryDirectory() as folder:
        storage = LocalStorage(Path(folder), "http://127.0.0.1:8000", b"s" * 32)
        images = [await stored(storage, path, number) for number, path in enumerate(paths)]
        archiver = Archiver(storage, longest_side=side, workers=workers)
        bundle = partial(archiver.bundle, default_caption=None, report=report, wanted=wanted)
        await bundle(UUID(int=0), images[:MIN_IMAGES])  # warm up
        with told():
            archive = await bundle(UUID(int=1), images)
        if archive is None or archive.facts.image_count != len(paths):
            raise RuntimeError(f"not all of {len(paths)} photos are in the archive")
        await storage.get(archive.key, target)


asyncio.run(main(int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), [Path(path) for path in sys.argv[4:]]))
