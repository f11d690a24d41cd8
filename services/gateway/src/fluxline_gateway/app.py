"""The gateway, put together: settings → database, bus, storage, live hub → service and HTTP application."""

from functools import partial

from fastapi import APIRouter, FastAPI

from fluxline.contracts.catalog import GATEWAY, GATEWAY_ADVISORIES
from fluxline.postgres.outbox import Relay
from fluxline.postgres.pool import Database
from fluxline.runtime.service import Service
from fluxline.runtime.settings import load
from fluxline.storage import Storage, StorageSettings, make_storage
from fluxline.storage.local import LocalStorage
from fluxline_gateway import files, limits
from fluxline_gateway.api import make_app
from fluxline_gateway.debug import alert_routes, dead_letter_routes, health_routes, insight_routes, log_routes
from fluxline_gateway.debug import routes as debug
from fluxline_gateway.deps import Gateway
from fluxline_gateway.housekeeping import Housekeeping
from fluxline_gateway.identity import admin, api_keys, audit_views, me
from fluxline_gateway.identity.audit import FLUSH_S as AUDIT_FLUSH_S
from fluxline_gateway.identity.audit import Audit
from fluxline_gateway.identity.key_use import FLUSH_S as KEY_USE_FLUSH_S
from fluxline_gateway.images import direct_uploads, review
from fluxline_gateway.images import routes as images
from fluxline_gateway.images import upload_routes as image_uploads
from fluxline_gateway.images.upload_metrics import UploadMetrics
from fluxline_gateway.live import routes as events
from fluxline_gateway.live import stream_access, stream_guard
from fluxline_gateway.live.hub import LiveHub
from fluxline_gateway.migrations import SCHEMA
from fluxline_gateway.models import cancel_routes as generation_cancelations
from fluxline_gateway.models import estimate_routes as generation_estimates
from fluxline_gateway.models import generation_routes as generations
from fluxline_gateway.models import routes as models
from fluxline_gateway.models import sample_routes as model_samples
from fluxline_gateway.models.samples import AutomaticSamples
from fluxline_gateway.recurring import Work, now_and_then, write_last
from fluxline_gateway.settings import GatewaySettings
from fluxline_gateway.trainings import actions
from fluxline_gateway.trainings import estimate_routes as training_estimates
from fluxline_gateway.trainings import routes as trainings
from fluxline_gateway.trainings.advisories import Advisories
from fluxline_gateway.trainings.job_metrics import EVERY_S as JOBS_S
from fluxline_gateway.trainings.job_metrics import JobMetrics
from fluxline_gateway.trainings.projection import Projection
from fluxline_gateway.trainings.watchdog import Patience, Watchdog, by_stage
from fluxline_gateway.webhooks import replicate
from fluxline_gateway.webhooks import routes as webhook_routes
from fluxline_gateway.webhooks.post import Poster
from fluxline_gateway.webhooks.sender import WebhookSender

NAME = "gateway"
ROUTERS = (
    image_uploads.router,
    direct_uploads.router,
    review.router,
    images.router,
    training_estimates.router,
    trainings.router,
    actions.router,
    events.router,
    stream_access.router,
    debug.router,
    log_routes.router,
    models.router,
    model_samples.router,
    generation_estimates.router,
    generations.router,
    generation_cancelations.router,
    replicate.router,
    webhook_routes.router,
    limits.router,
    me.router,
    api_keys.router,
    audit_views.router,
    admin.router,
    insight_routes.router,
    alert_routes.router,
    log_routes.admin_router,
    dead_letter_routes.router,
    health_routes.router,
)

STILL_NEEDED = """
subject IN ('training.cancel_requested', 'training.delete_requested', 'model.card_requested')
OR EXISTS (
    SELECT FROM trainings
    WHERE id = (headers ->> 'ce-subject')::uuid AND status NOT IN ('completed', 'failed', 'canceled')
)
OR EXISTS (
    SELECT FROM generations
    WHERE subject IN ('generation.requested', 'generation.cancel_requested') AND status IN ('requested', 'running')
      AND id = (convert_from(body, 'UTF8')::json ->> 'generation_id')::uuid
)
"""
"""Which events are sent again should the stream lose them: those of what has not ended, and orders that stand."""


def build(settings: GatewaySettings, storage: Storage) -> tuple[Service, FastAPI]:
    """The service and the application that it serves."""
    service = Service(NAME, settings)
    database = Database(settings.database_url, SCHEMA)
    live = LiveHub(service.bus)
    audit = Audit(service.metrics.registry)
    uploaded, jobs = UploadMetrics(service.metrics.registry), JobMetrics(service.metrics.registry)
    gateway = Gateway(settings, database, service.bus, storage, live, audit=audit, uploaded=uploaded)
    service.before_start(database.open)
    service.ready("postgres", database.check)
    service.ready("storage", storage.check)
    relay, registry = Relay(database, service.bus, needed=STILL_NEEDED), service.metrics.registry
    for shown in (relay, database, live):
        shown.observe(registry)
    service.background("relay", relay.run)
    service.background("live", live.run)
    service.on_drain(live.end_streams)
    guard = partial(stream_guard.end_streams_of_ended_keys, database, live)
    service.background("stream_guard", partial(now_and_then, "stream_guard", guard, stream_guard.CHECK_S))
    service.background("watchdog", Watchdog(database, service.bus, registry, patience(settings)).run)
    sender = WebhookSender(database, registry, Poster(settings.webhook_origins))
    service.background("webhooks", sender.run)
    service.background("jobs", partial(now_and_then, "jobs", partial(jobs.look, database), JOBS_S))
    service.background("housekeeping", Housekeeping(database, storage).run)
    for name, flush, every_s in written_behind(gateway):
        service.background(name, partial(now_and_then, name, flush, every_s))
    service.consume_batches(GATEWAY, Projection(database, AutomaticSamples(settings), jobs).handle)
    service.consume_batches(GATEWAY_ADVISORIES, Advisories(service.bus, registry).handle)
    for close in (database.close, storage.close, gateway.http.aclose):
        service.on_close(close)
    for name, flush, _ in written_behind(gateway):
        service.on_close(partial(write_last, name, flush))
    app = make_app(
        gateway,
        routers(storage),
        probes=service.health.routes(),
        tracer_provider=service.tracer_provider,
        measured=service.metrics.http.around,
        lifespan=service.lifespan,
    )
    return service, app


def written_behind(gateway: Gateway) -> tuple[tuple[str, Work, float], ...]:
    """What requests leave to be stored a little later: a name, how it is stored, and seconds from time to time."""
    return (
        ("audit", partial(gateway.audit.flush, gateway.database), AUDIT_FLUSH_S),
        ("key_use", partial(gateway.key_use.flush, gateway.database), KEY_USE_FLUSH_S),
    )


def patience(settings: GatewaySettings) -> Patience:
    """How long the watchdog waits."""
    return Patience(
        watch_s=settings.watch_s,
        reemit_s=settings.reemit_s,
        usual_s=by_stage(settings.usual_zip_s, settings.usual_training_s, settings.usual_publish_s),
        deadline_s=by_stage(settings.deadline_zip_s, settings.deadline_training_s, settings.deadline_publish_s),
        silence_s=settings.silence_s,
    )


def routers(storage: Storage) -> list[APIRouter]:
    """All routes; signed links are served here only where no object store serves its own."""
    return [*ROUTERS, files.router] if isinstance(storage, LocalStorage) else [*ROUTERS]


def main() -> int:
    """Run the gateway until SIGTERM; returns the exit status."""
    settings, storage = load(GatewaySettings), make_storage(load(StorageSettings))
    service, app = build(settings, storage)
    return service.run(app)
