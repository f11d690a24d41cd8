"""Composition root of the publisher."""

from fluxline.runtime.service import Service
from fluxline.runtime.settings import load
from fluxline.storage import StorageSettings, make_storage
from fluxline_publisher.handlers import publisher_handlers
from fluxline_publisher.hub import HuggingFace
from fluxline_publisher.publisher import Publisher
from fluxline_publisher.settings import PublisherSettings


def main() -> int:
    """Run the service until SIGTERM; returns the exit status."""
    settings = load(PublisherSettings)
    storage = make_storage(load(StorageSettings))
    hub = HuggingFace(
        settings.hf_endpoint,
        settings.huggingface_api_token.get_secret_value(),
        settings.huggingface_username,
        timeout_s=settings.hub_timeout_s,
    )
    service = Service("publisher", settings)
    service.consume(publisher_handlers(Publisher(storage, hub), deadline_s=settings.deadline_s))
    service.ready("storage", storage.check)
    service.on_close(storage.close)
    return service.run()
