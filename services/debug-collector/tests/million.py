"""A history of any size: plausible jobs over 60 days, the same ones each time, in the collector's tables.

`fill` writes straight into a migrated database, a million events in about a minute; what it writes is what the
collector would have stored, had it received them. Jobs retry, fail, are canceled and come from several versions.
"""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from random import Random
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg

from fluxline_collector.rollup import roll_up_all

SPAN = timedelta(days=60)
STUCK_EVERY = 300
"""One job in so many falls silent halfway."""
FIRST_SEQUENCE = 1_700_000_000_000_000
SHA256 = "ab" * 32
COLUMNS = (
    *("sequence", "stored_at", "received_at", "occurred_at", "subject", "event_id", "training_id", "stage", "service"),
    *("service_version", "category", "retryable", "attempt", "duration_ms", "trace_id", "readable", "redacted"),
    *("facts", "headers", "body"),
)
FAULTS = {
    "zip_creation": (("validation", False, "Only 4 of 12 images can be used"), ("network", True, "Storage is away")),
    "replicate_training": (
        ("rate_limit", True, "Replicate asks to wait"),
        ("service_error", True, "Replicate answered 502"),
        ("timeout", True, "Replicate did not answer within 30 s"),
        ("billing", False, "The account at Replicate has no credit"),
        ("content_policy", False, "Replicate refuses these images"),
    ),
    "huggingface_upload": (
        ("authentication", False, "Hugging Face does not accept the token"),
        ("rate_limit", True, "Hugging Face asks to wait"),
        ("network", True, "The connection to Hugging Face was reset"),
    ),
}
SERVICES = {"zip_creation": "zipper", "replicate_training": "trainer", "huggingface_upload": "publisher"}


class Moment(NamedTuple):
    """One event before it is a row: `at` are seconds since the history began, `facts` those beyond the usual ones."""

    at: float
    job: "Job"
    subject: str
    service: str
    facts: dict[str, Any]


class Job:
    """One training: who wants it, and what is the same in all of its events."""

    def __init__(self, number: int, random: Random) -> None:
        self.training_id = UUID(int=random.getrandbits(128))
        self.trace_id = f"{random.getrandbits(128):032x}"
        self.number = number
        self.random = random
        self.provider = "fal" if number % 10 == 0 else "replicate"
        self.facts = {
            "name": f"Portrait {number}",
            "trigger_word": f"TOK{number % 977}",
            "owner": f"owner-{int(random.paretovariate(1.2)) % 200}",
            "base_model": "black-forest-labs/FLUX.1-dev",
            "parameters": {"steps": 1000, "learning_rate": 0.0004, "lora_rank": 16, "resolution": "512,768,1024"},
            "run": 0,
        }

    def moments(self, at: float) -> Iterator[Moment]:
        """Its events, from the request at `at`."""
        images = [{"key": f"uploads/{n:064x}.jpg", "sha256": f"{n:064x}"} for n in range(self.random.randint(5, 12))]
        yield self._moment(at, "training.requested", "gateway", {**self.facts, "images": images})
        end, run = at + 1, 0
        for stage in SERVICES:
            while True:
                outcome, end = yield from self._stage(stage, end, len(images))
                if outcome == "succeeded":
                    break
                if outcome == "canceled" or run == 1 or self.random.random() < 0.6:
                    return
                run, end = run + 1, end + self.random.expovariate(1 / 3600)
                self.facts["run"] = run
                yield self._moment(end, "training.retry_requested", "gateway", {**self.facts, "from_stage": stage})

    def _stage(self, stage: str, at: float, images: int) -> Iterator[Any]:
        """One run of a stage; returns its outcome and when it ended."""
        service, random, attempt = SERVICES[stage], self.random, 1
        while True:
            usual = {"stage": stage, "service": service, "attempt": attempt}
            yield self._moment(at, "stage.started", service, usual)
            took = random.lognormvariate(*{"zipper": (2.5, 0.5), "trainer": (6.8, 0.4), "publisher": (4, 0.7)}[service])
            if random.random() > 0.13:
                break
            category, retryable, message = random.choice(FAULTS[stage])
            took /= 4
            error = {"duration_ms": int(took * 1000), "category": category, "retryable": retryable, "message": message}
            if retryable and attempt < 4:
                pause = 5 * 2.0**attempt
                next_at = {"next_attempt_at": f"2026-01-01T00:00:{int(pause) % 60:02}Z"}
                yield self._moment(at + took, "stage.retried", service, usual | error | next_at)
                at, attempt = at + took + pause, attempt + 1
                continue
            hint = {"hint": "Look at the message, mend the cause, and retry the training."}
            yield self._moment(at + took, "stage.failed", service, usual | error | hint)
            told = {"stage": stage, "attempts": attempt, "run": self.facts["run"]} | error | hint
            del told["duration_ms"]
            yield self._moment(at + took + 0.01, "training.failed", service, told)
            return "failed", at + took
        if stage == "replicate_training" and random.random() < 0.03:
            yield self._moment(at + took / 2, "training.canceled", service, {"stage": stage, "run": self.facts["run"]})
            return "canceled", at
        yield from self._work(stage, at, took, images)
        ids = {"provider_ids": {self.provider: self.external_id}} if service == "trainer" else {}
        end = usual | {"duration_ms": int(took * 1000)} | ids
        yield self._moment(at + took + 0.02, "stage.succeeded", service, end)
        return "succeeded", at + took + 1

    @property
    def external_id(self) -> str:
        """The id at the provider, another one in each run."""
        return f"r{self.training_id.hex[:20]}{self.facts['run']}"

    def _work(self, stage: str, at: float, took: float, images: int) -> Iterator[Moment]:
        service = SERVICES[stage]
        weights = {"weights_key": f"weights/{self.training_id}.tar", "sha256": SHA256, "size_bytes": 171_000_000}
        provider = {"provider": self.provider, "external_id": self.external_id}
        version = {"provider": self.provider, "provider_version": f"studio/model-{self.number}:{self.trace_id}"}
        if stage == "zip_creation":
            for done in range(1, images + 1):
                facts = {"done": done, "total": images, "current": f"image_{done:03}.jpg", "size_bytes": done * 400_000}
                yield self._moment(at + took * done / (images + 1), "zip.progressed", service, facts)
            archive = {"zip_key": f"zips/{self.training_id}.zip", "size_bytes": images * 400_000, "sha256": SHA256}
            yield self._moment(at + took, "zip.created", service, self.facts | archive | {"image_count": images})
        elif stage == "replicate_training":
            trainer = {"destination": f"studio/model-{self.number}", "trainer_version": f"v{self.number % 3 + 1}"}
            yield self._moment(at + 2, "training.started", service, provider | trainer)
            for percent in range(10, 100, 10):
                facts = {"percent": percent, "step": percent * 10, "steps": 1000, "loss": 0.4 - percent / 400}
                yield self._moment(at + 2 + (took - 2) * percent / 100, "training.progressed", service, facts)
            cost = {"cost": {"amount_usd": round(took * 0.001525, 4), "basis": "seconds of an H100"}}
            yield self._moment(
                at + took, "training.succeeded", service, self.facts | weights | provider | version | cost
            )
        else:
            for part in (1, 2, 3):
                facts = {"done_bytes": part * 57_000_000, "total_bytes": 171_000_000}
                yield self._moment(at + took * part / 4, "model.progressed", service, facts)
            hub = {"repo": f"studio/model-{self.number}", "commit": "c" * 40, "private": True}
            hub["url"] = f"https://huggingface.co/{hub['repo']}"
            model = {"model_id": str(self.training_id), "huggingface": hub}
            yield self._moment(at + took, "model.published", service, self.facts | weights | version | model)

    def _moment(self, at: float, subject: str, service: str, facts: dict[str, Any]) -> Moment:
        return Moment(at, self, subject, service, facts)


def history(events: int, seed: int = 33) -> list[Moment]:
    """About that many moments, in the order of time; some jobs are not over."""
    random = Random(seed)
    moments: list[Moment] = []
    number = 0
    while len(moments) < events:
        number += 1
        of_job = list(Job(number, random).moments(random.random() * SPAN.total_seconds()))
        moments += of_job[: len(of_job) // 2] if number % STUCK_EVERY == 0 else of_job
    moments = [moment for moment in moments if moment.at < SPAN.total_seconds()][:events]
    return sorted(moments, key=lambda moment: moment.at)


IMPLIED = {
    **dict.fromkeys(("zip.progressed", "zip.created"), "zip_creation"),
    **{f"training.{what}": "replicate_training" for what in ("started", "progressed", "succeeded")},
    **dict.fromkeys(("model.progressed", "model.published"), "huggingface_upload"),
}


def rows(moments: list[Moment], began: datetime, seed: int = 34) -> Iterator[tuple[Any, ...]]:
    """Rows of `events` with `COLUMNS`."""
    random = Random(seed)
    for sequence, (at, job, subject, service, more) in enumerate(moments, start=FIRST_SEQUENCE):
        occurred_at = began + timedelta(seconds=at)
        event_id = UUID(int=random.getrandbits(128))
        facts = {"event_id": str(event_id), "occurred_at": occurred_at.isoformat(), "training_id": str(job.training_id)}
        facts |= more
        version = f"1.{int(at / SPAN.total_seconds() * 4)}.0"
        body = json.dumps(facts)
        yield (
            *(sequence, occurred_at + timedelta(milliseconds=3), occurred_at + timedelta(milliseconds=9), occurred_at),
            *(subject, event_id, job.training_id, more.get("stage") or IMPLIED.get(subject), service, version),
            *(more.get("category"), more.get("retryable"), more.get("attempt"), more.get("duration_ms"), job.trace_id),
            *(True, False, body, json.dumps(headers(event_id, job, subject, service, occurred_at, version))),
            body.encode(),
        )


def headers(event_id: UUID, job: Job, subject: str, service: str, at: datetime, version: str) -> dict[str, str]:
    """What the runtime sends along."""
    return {
        "Nats-Msg-Id": str(event_id),
        "content-type": "application/json",
        "ce-specversion": "1.0",
        "ce-id": str(event_id),
        "ce-type": subject,
        "ce-source": f"/fluxline/{service}",
        "ce-time": at.isoformat(),
        "ce-subject": str(job.training_id),
        "ce-serviceversion": version,
        "traceparent": f"00-{job.trace_id}-00f067aa0ba902b7-01",
    }


async def fill(database_url: str, events: int) -> list[UUID]:
    """Add a history of `events` events that ends now to the migrated, empty database; returns the trainings."""
    connection = await asyncpg.connect(database_url, server_settings={"search_path": "collector"})
    try:
        moments = history(events)
        began = await connection.fetchval("SELECT date_trunc('second', now()) - $1::interval", SPAN)
        for day in range(SPAN.days + 1):
            await connection.fetchval("SELECT ensure_week('events', $1)", began + timedelta(days=day))
        await connection.copy_records_to_table("events", records=rows(moments, began), columns=COLUMNS)
        await connection.execute("ANALYZE events")
        await roll_up_all(connection)
        for table in ("events", "jobs", "attempts"):
            await connection.execute(f"VACUUM (ANALYZE) {table}")
    finally:
        await connection.close()
    return list(dict.fromkeys(moment.job.training_id for moment in moments))
