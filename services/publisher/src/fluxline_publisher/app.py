"""Composition root of the publisher."""

from fluxline.contracts.catalog import OUTCOMES_BUCKET
from fluxline.runtime.policy import RetryPolicy
from fluxline.runtime.register import Registers
from fluxline.runtime.service import Service
from fluxline.runtime.settings import load
from fluxline.storage import Storage, StorageSettings, make_storage
from fluxline.weights.traffic import WeightsTraffic
from fluxline_publisher.claim import Claims
from fluxline_publisher.handlers import card_handlers, cleanup_handlers, publisher_handlers
from fluxline_publisher.hub import HuggingFace
from fluxline_publisher.publisher import Publisher
from fluxline_publisher.remover import Remover
from fluxline_publisher.samples import SampleGallery
from fluxline_publisher.settings import PublisherSettings


def build(settings: PublisherSettings, storage: Storage) -> Service:
    """The service, ready to run."""
    service = Service("publisher", settings)
    hub = HuggingFace(
        settings.hf_endpoint,
        settings.huggingface_api_token.get_secret_value(),
        settings.huggingface_username,
        timeout_s=settings.hub_timeout_s,
        calls=service.metrics.providers,
    )
    remover = Remover(storage, hub)
    policy = RetryPolicy(attempts=settings.retry_attempts, base_s=settings.retry_base_s)
    claims = Claims(Registers(service.bus, OUTCOMES_BUCKET), remover.canceled)
    publisher = Publisher(storage, hub, WeightsTraffic(service.metrics.registry))
    service.consume(publisher_handlers(publisher, claims, deadline_s=settings.deadline_s, policy=policy))
    gallery = SampleGallery(storage, hub)
    service.consume(card_handlers(gallery, deadline_s=settings.deadline_s, policy=policy))
    service.consume(cleanup_handlers(remover, policy=policy))
    service.ready("storage", storage.check)
    service.on_close(storage.close)
    return service


def main() -> int:
    """Run the service until SIGTERM; returns the exit status."""
    settings = load(PublisherSettings)
    return build(settings, make_storage(load(StorageSettings))).run()
