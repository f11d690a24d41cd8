"""Composition root of the zipper."""

from fluxline.contracts.catalog import OUTCOMES_BUCKET
from fluxline.runtime.policy import RetryPolicy
from fluxline.runtime.register import Registers
from fluxline.runtime.service import Service
from fluxline.runtime.settings import load
from fluxline.storage import Storage, StorageSettings, make_storage
from fluxline_zipper.archiver import Archiver
from fluxline_zipper.handlers import archive_handlers, cleanup_handlers
from fluxline_zipper.metrics import ImageMetrics
from fluxline_zipper.settings import ZipperSettings


def build(settings: ZipperSettings, storage: Storage) -> Service:
    """The service, ready to run."""
    service = Service("zipper", settings)
    metrics = ImageMetrics(service.metrics.registry)
    archiver = Archiver(storage, longest_side=settings.longest_side, metrics=metrics)
    registers = Registers(service.bus, OUTCOMES_BUCKET)
    policy = RetryPolicy(attempts=settings.retry_attempts, base_s=settings.retry_base_s)
    service.consume(archive_handlers(archiver, registers, deadline_s=settings.deadline_s, policy=policy))
    service.consume(cleanup_handlers(archiver, policy=policy))
    service.ready("storage", storage.check)
    service.on_close(storage.close)
    service.on_close(archiver.close)
    return service


def main() -> int:
    """Run the service until SIGTERM; returns the exit status."""
    settings = load(ZipperSettings)
    return build(settings, make_storage(load(StorageSettings))).run()
