"""Composition root of the zipper."""

from fluxline.runtime.service import Service
from fluxline.runtime.settings import load
from fluxline.storage import StorageSettings, make_storage
from fluxline_zipper.archiver import Archiver
from fluxline_zipper.handlers import archive_handlers, cleanup_handlers
from fluxline_zipper.settings import ZipperSettings


def main() -> int:
    """Run the service until SIGTERM; returns the exit status."""
    settings = load(ZipperSettings)
    storage = make_storage(load(StorageSettings))
    archiver = Archiver(storage, longest_side=settings.longest_side)
    service = Service("zipper", settings)
    service.consume(archive_handlers(archiver, deadline_s=settings.deadline_s))
    service.consume(cleanup_handlers(archiver))
    service.ready("storage", storage.check)
    service.on_close(storage.close)
    return service.run()
