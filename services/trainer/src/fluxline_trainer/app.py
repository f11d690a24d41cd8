"""The trainer as a process: settings → provider, storage, database → engine → consumers."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from fluxline.contracts.catalog import OUTCOMES_BUCKET, TRAINER_TIMERS
from fluxline.postgres.outbox import Relay
from fluxline.postgres.pool import Database
from fluxline.runtime.metrics import Metrics
from fluxline.runtime.policy import RetryPolicy
from fluxline.runtime.provider_calls import ProviderCalls, operations_of
from fluxline.runtime.register import Registers
from fluxline.runtime.service import Service
from fluxline.runtime.settings import load
from fluxline.storage import Storage, StorageSettings, make_storage
from fluxline.weights import WeightsLimits
from fluxline.weights.traffic import WeightsTraffic
from fluxline_trainer.auditor import Auditor
from fluxline_trainer.cancel import Canceler
from fluxline_trainer.cleanup import Cleaner
from fluxline_trainer.engine import Engine, Timers
from fluxline_trainer.handlers import make_cleanup_handlers, make_handlers
from fluxline_trainer.intake import Intake
from fluxline_trainer.jobs import Jobs
from fluxline_trainer.patience import Patience
from fluxline_trainer.provider import Provider
from fluxline_trainer.replicate_api import ReplicateApi
from fluxline_trainer.results import Results
from fluxline_trainer.settings import TrainerSettings
from fluxline_trainer.stopping import Stopper
from fluxline_trainer.submission import SubmissionRules, Submitter
from fluxline_trainer.watch import Watcher, WatchRules
from fluxline_trainer.workers import Workers
from fluxline_trainer.zip_link import ZipLinks

SPARE_CONNECTIONS = 4
"""For the relay, the handlers, the sweep and readiness; each advancing job holds one connection."""
PAID_CAP_S = 60.0
DECIDE_EVERY = timedelta(seconds=2)
"""Between two looks whether somebody is still publishing what is to be canceled."""

STILL_NEEDED = """
subject = 'training.canceled' OR EXISTS (
    SELECT FROM jobs WHERE training_id = (headers ->> 'ce-subject')::uuid AND NOT published AND state <> 'canceled'
)
"""
"""Which events are sent again should the stream lose them: those of jobs whose model is not out yet."""


def build(settings: TrainerSettings, storage: Storage) -> Service:
    """The service, ready to run."""
    service = Service("trainer", settings)
    url = settings.database_url.get_secret_value()
    database = Database(url, "trainer", max_size=settings.concurrency + SPARE_CONNECTIONS)
    api = make_api(settings, service.metrics.providers)
    links = ZipLinks(storage, lifetime=timedelta(seconds=settings.zip_link_s))
    jobs = Jobs(database)
    engine = make_engine(settings, jobs, api, links, storage, service.bus, service.metrics)
    workers = Workers(jobs, engine.advance, limit=settings.concurrency)
    intake = Intake(database)
    canceler = Canceler(intake, Registers(service.bus, OUTCOMES_BUCKET), workers.start, DECIDE_EVERY)
    database.observe(service.metrics.registry)
    service.before_start(database.open)
    for close in (database.close, storage.close, links.close, api.close, workers.close):
        service.on_close(close)  # the last one first
    service.ready("postgres", database.check)
    service.ready("storage", storage.check)
    relay = Relay(database, service.bus, needed=STILL_NEEDED, with_inbox=True)
    relay.observe(service.metrics.registry)
    service.background("outbox", relay.run)
    service.background("audit", Auditor(jobs, api, timedelta(seconds=settings.audit_s)).run)
    service.background("sweep", lambda: workers.sweep(timedelta(seconds=settings.sweep_s)))
    service.background("cancelations", canceler.run)
    service.consume(make_handlers(intake, canceler, workers.start))
    service.consume(make_cleanup_handlers(Cleaner(jobs, intake, canceler, api, storage)))
    service.consume_batches(TRAINER_TIMERS, workers.on_timers)
    return service


def make_api(settings: TrainerSettings, calls: ProviderCalls | None = None) -> ReplicateApi:
    """Replicate as the settings say."""
    calls = calls or ProviderCalls()
    calls.announce(ReplicateApi.name, operations_of(ReplicateApi), settings.concurrency)
    return ReplicateApi(
        settings.replicate_api_token.get_secret_value(),
        settings.replicate_base_url,
        hardware=settings.replicate_hardware,
        timeout_s=settings.request_timeout_s,
        download_timeout_s=settings.download_timeout_s,
        max_download_bytes=settings.max_weights_bytes,
        calls=calls,
    )


def make_engine(
    settings: TrainerSettings,
    jobs: Jobs,
    provider: Provider,
    links: ZipLinks,
    storage: Storage,
    timers: Timers,
    metrics: Metrics,
    clock: Callable[[], datetime] | None = None,
) -> Engine:
    """The engine with its rules."""
    clock = clock or utc_now
    deadline = timedelta(seconds=settings.deadline_s)
    submission = SubmissionRules(
        trainer=settings.replicate_trainer,
        owner=settings.replicate_owner,
        webhook_url=settings.webhook_url,
        settle=timedelta(seconds=settings.settle_s),
        look_again=settings.polls[0],
        first_poll=settings.polls[0],
    )
    limits = WeightsLimits(total_bytes=settings.max_weights_bytes, min_weights_bytes=settings.min_weights_bytes)
    watching = WatchRules(settings.polls, deadline, settings.usd_per_second)
    patience = Patience(
        free=RetryPolicy(attempts=settings.retry_attempts, base_s=settings.retry_base_s),
        paid=RetryPolicy(attempts=10**9, internal_attempts=10, base_s=settings.retry_base_s, cap_s=PAID_CAP_S),
        deadline=deadline,
        confirm=timedelta(seconds=settings.confirm_s),
    )
    submitter = Submitter(provider, links, submission, clock)
    watcher = Watcher(provider, Results(provider, storage, limits, WeightsTraffic(metrics.registry)), watching, clock)
    stopper = Stopper(provider, submitter, patience, clock)
    return Engine(jobs, submitter, watcher, stopper, patience, timers, metrics, clock)


def utc_now() -> datetime:
    """The time, with its zone."""
    return datetime.now(UTC)


def main() -> int:
    """Run until SIGTERM."""
    settings = load(TrainerSettings)
    return build(settings, make_storage(load(StorageSettings))).run()
