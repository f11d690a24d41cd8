"""What the trainer's tests share: the sandbox's admin calls, jobs, engines, and reading what was told."""

import hashlib
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any, Literal, TypeVar
from uuid import UUID, uuid4

import httpx

from fluxline.contracts.event import Event
from fluxline.contracts.events import TrainingCancelRequested, TrainingRetryRequested, ZipCreated
from fluxline.postgres.pool import Database
from fluxline.runtime.envelope import read_event
from fluxline.runtime.register import Condition
from fluxline.runtime.telemetry import Metrics
from fluxline.storage import Storage
from fluxline_sandbox.settings import Settings
from fluxline_trainer.app import make_api, make_engine
from fluxline_trainer.cancel import Canceler
from fluxline_trainer.engine import Engine
from fluxline_trainer.handlers import cause_of
from fluxline_trainer.intake import Intake
from fluxline_trainer.job import STAGE, Job, JobState
from fluxline_trainer.jobs import Jobs
from fluxline_trainer.provider import Provider
from fluxline_trainer.replicate_api import ReplicateApi
from fluxline_trainer.settings import TrainerSettings
from fluxline_trainer.zip_link import ZipLinks
from polling import poll_until

E = TypeVar("E", bound=Event)
TRACE = {"traceparent": "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"}
Reason = Literal["owner", "deadline", "deleted"]
MINUTE = timedelta(minutes=1)


class Stand:
    """A running sandbox: its token, its admin calls."""

    def __init__(self, url: str, settings: Settings) -> None:
        self.url = f"{url}/replicate"
        self.token = settings.replicate_api_token.get_secret_value()
        self.http = httpx.Client(base_url=url, timeout=10)

    def trainings(self) -> int:
        return int(self.state()["trainings"])

    def state(self) -> dict[str, Any]:
        return dict(self.http.get("/_sandbox/state").json())

    def calls(self, operation: str) -> list[dict[str, Any]]:
        return [call for call in self.http.get("/_sandbox/log").json() if call["operation"] == operation]

    def configure(self, **changes: Any) -> None:
        self.http.post("/_sandbox/settings", json=changes).raise_for_status()

    def fault(self, operation: str, kind: str, **details: Any) -> None:
        fault = {"operation": operation, "kind": kind, **details}
        self.http.post("/_sandbox/faults", json=[fault]).raise_for_status()


class Timers:
    """Timers that are noted and never fire."""

    def __init__(self) -> None:
        self.set: list[tuple[str, str, datetime]] = []

    async def schedule(self, timer: str, key: str, at: datetime) -> None:
        self.set.append((timer, key, at))


class Register:
    """Registers in memory."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}

    async def swap(self, key: str, value: str, when: Condition) -> str | None:
        if when(self.values.get(key)):
            self.values[key] = value
        return self.values.get(key)


class Bench:
    """A trainer without its process: jobs that are advanced by hand."""

    def __init__(
        self, database: Database, database_url: str, storage: Storage, stand: Stand, photos_zip: bytes
    ) -> None:
        self.database = database
        self.database_url = database_url
        self.storage = storage
        self.stand = stand
        self.photos_zip = photos_zip
        self.jobs = Jobs(database)
        self.intake = Intake(database)
        self.timers = Timers()
        self.register = Register()
        self.started: list[UUID] = []
        self.canceler = Canceler(self.intake, self.register, self.started.extend, MINUTE)
        self._closing: list[Callable[[], Awaitable[None]]] = []

    def settings(self, **changes: Any) -> TrainerSettings:
        facts: dict[str, Any] = {
            "nats_url": "nats://127.0.0.1:1",
            "database_url": self.database_url,
            "replicate_api_token": self.stand.token,
            "replicate_base_url": self.stand.url,
            "poll_seconds": [0.05],
            "settle_s": 0.3,
            "retry_base_s": 0.02,
            "confirm_s": 0.05,
            "request_timeout_s": 5,
        }
        return TrainerSettings(**(facts | changes))

    def api(self, **changes: Any) -> ReplicateApi:
        api = make_api(self.settings(**changes))
        self._closing.append(api.close)
        return api

    def engine(self, provider: Provider | None = None, jobs: Jobs | None = None, **changes: Any) -> Engine:
        settings = self.settings(**changes)
        links = ZipLinks(self.storage, lifetime=timedelta(seconds=settings.zip_link_s))
        self._closing.append(links.close)
        provider = provider or self.api(**changes)
        return make_engine(settings, jobs or self.jobs, provider, links, self.storage, self.timers, Metrics())

    async def close(self) -> None:
        for close in self._closing:
            await close()

    async def archive(self, content: bytes | None = None, **facts: Any) -> ZipCreated:
        """A zip.created whose archive lies in storage."""
        content = self.photos_zip if content is None else content
        training_id = uuid4()
        key = f"zips/{training_id}/archive.zip"
        await self.storage.put(key, content, content_type="application/zip")
        defaults: dict[str, Any] = {
            "training_id": training_id,
            "name": "Ada",
            "trigger_word": "ADATOK",
            "owner": "ada",
            "zip_key": key,
            "size_bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
            "image_count": 5,
        }
        return ZipCreated.first(str(training_id), **(defaults | facts))

    async def job(self, content: bytes | None = None, **facts: Any) -> UUID:
        """A job that is accepted and not begun."""
        event = await self.archive(content, **facts)
        await self.intake.accept("trainer", event, TRACE)
        return event.training_id

    async def cancel(self, training_id: UUID, run: int = 0, reason: Reason = "owner") -> TrainingCancelRequested:
        """A request to cancel that arrives and is decided as far as it can be."""
        event = TrainingCancelRequested.first(f"{training_id}/{run}", training_id=training_id, run=run, reason=reason)
        await self.canceler.request(event, TRACE)
        await self.canceler.decide_all()
        return event

    async def retry(self, archive: ZipCreated, run: int = 1) -> ZipCreated:
        """A retry of the trainer's stage that arrives; the cause that the job has from now on."""
        event = TrainingRetryRequested.first(
            f"{archive.training_id}/{run}",
            training_id=archive.training_id,
            **(archive.job_facts() | {"run": run}),
            from_stage=STAGE,
            zip_created=archive,
        )
        cause = cause_of(event, archive)
        await self.intake.accept("trainer", cause, TRACE)
        return cause

    async def running_trainings(self) -> int:
        """How many trainings cost money at the provider now."""
        return len([run async for run in self.api().newest_first() if not run.status.is_final])

    async def row(self, training_id: UUID) -> Job:
        async def read() -> Job | None:
            async with self.jobs.locked(training_id) as locked:
                return locked.job if locked else None

        job = await poll_until(read)
        assert job is not None
        return job

    async def state(self, training_id: UUID) -> JobState:
        text = await self.database.pool.fetchval("SELECT state FROM jobs WHERE training_id = $1", training_id)
        return JobState(text)

    async def drive(self, engine: Engine, training_id: UUID, *, until: JobState | None = None) -> JobState:
        """Advance again and again, sooner than any timer would, until the job has ended (or is `until`)."""

        async def step() -> JobState | None:
            await engine.advance(training_id)
            state = await self.state(training_id)
            return state if state is until or (until is None and state.is_final) else None

        state = await poll_until(step, timeout_s=30)
        assert state is not None
        return state

    async def told(self) -> list[Event]:
        """Every event of the outbox, in order."""
        rows = await self.database.pool.fetch("SELECT subject, body FROM outbox ORDER BY id")
        return [read_event(row["subject"], row["body"]) for row in rows]

    async def told_of(self, event_class: type[E]) -> list[E]:
        return [event for event in await self.told() if isinstance(event, event_class)]

    async def headers(self) -> list[str]:
        rows = await self.database.pool.fetch("SELECT headers->>'traceparent' AS trace FROM outbox")
        return [row["trace"] for row in rows]
