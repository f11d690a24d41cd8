"""Composition root of the generator."""

from fluxline.postgres.pool import Database
from fluxline.runtime.policy import RetryPolicy
from fluxline.runtime.service import Service
from fluxline.runtime.settings import load
from fluxline.storage import Storage, StorageSettings, make_storage
from fluxline_generator.configured import configured
from fluxline_generator.generator import Generator
from fluxline_generator.handlers import cancel_handlers, cleanup_handlers, generator_handlers
from fluxline_generator.migrations import SCHEMA
from fluxline_generator.prices import Prices
from fluxline_generator.settings import GeneratorSettings
from fluxline_generator.store import GenerationStore
from fluxline_generator.stored_images import StoredImages
from fluxline_generator.waiting import Pace


def build(settings: GeneratorSettings, storage: Storage) -> Service:
    """The service, ready to run."""
    database = Database(settings.database_url, SCHEMA)
    service = Service("generator", settings)
    providers = configured(settings, storage, service.metrics.providers)
    pace = Pace(poll_s=settings.poll_s, run_s=settings.prediction_s, settle_s=settings.settle_s)
    prices = Prices(
        settings.usd_per_second,
        settings.usd_per_image,
        settings.fal_usd_per_megapixel,
        settings.fal_lora_usd_per_megapixel,
        settings.together_usd_per_megapixel,
    )
    store = GenerationStore(database)
    generator = Generator(store, providers, storage, prices, pace=pace, at_once=settings.runs_at_once)
    policy = RetryPolicy(attempts=settings.retry_attempts, base_s=settings.retry_base_s)
    service.consume(generator_handlers(generator, policy=policy))
    service.consume(cancel_handlers(store, policy=policy))
    service.consume(cleanup_handlers(StoredImages(storage), policy=policy))
    database.observe(service.metrics.registry)
    service.before_start(database.open)
    service.ready("postgres", database.check)
    service.ready("storage", storage.check)
    for close in (database.close, *(provider.close for provider in providers), storage.close):
        service.on_close(close)
    return service


def main() -> int:
    """Run the service until SIGTERM; returns the exit status."""
    settings = load(GeneratorSettings)
    return build(settings, make_storage(load(StorageSettings))).run()
