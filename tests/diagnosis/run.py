"""All rows driven through one stack: the alone ones first, then the crowd at once, and what was read of each.

Every job of the crowd meets its own faults only, by its trigger word, repository, model or prompt.
"""

import asyncio
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import httpx

from e2e.running import job, upload
from faults.stack import FaultStack
from polling import poll_until

from . import scenes
from .row import Json, Row, planned

SETTINGS = {
    "TRAINER_SETTLE_S": "6",
    "TRAINER_REQUEST_TIMEOUT_S": "4",
    "TRAINER_DOWNLOAD_TIMEOUT_S": "6",
    "TRAINER_DEADLINE_S": "30",
    "TRAINER_RETRY_ATTEMPTS": "5",
    "PUBLISHER_HUB_TIMEOUT_S": "4",
    "PUBLISHER_RETRY_ATTEMPTS": "5",
    "PUBLISHER_RETRY_BASE_S": "0.3",
    "ZIPPER_RETRY_BASE_S": "0.3",
    "GENERATOR_SETTLE_S": "4",
    "GENERATOR_CALL_TIMEOUT_S": "4",
    "GENERATOR_RETRY_BASE_S": "0.3",
}
"""Waits shortened, none of them skipped; what has to be longer than something else still is."""
USUAL = {"training_seconds": 0.5, "generation_seconds": 0.2, "list_lag_seconds": 0.0, "training_outcome": "succeeded"}
JOB_TIMEOUT_S = 150.0
AT_ONCE = 10
ENDED = ("completed", "failed", "canceled", "succeeded")
_GENERATION_EVENTS = """
SELECT subject, stage, category, retryable, attempt, facts->>'hint' AS hint, facts->>'message' AS message
FROM collector.events
WHERE generation_id = $1 AND subject LIKE 'stage.%' ORDER BY sequence
"""


@dataclass
class Observation:
    """What was read of one row: its job's answer, and the summary (or, of a generation, the collector's events)."""

    answer: Json
    summary: Json = field(default_factory=dict)
    events: list[Json] = field(default_factory=list)


class Run:
    """The stack, its clients and the photos of the crowd."""

    def __init__(
        self, stack: FaultStack, api: httpx.AsyncClient, sandbox: httpx.AsyncClient, photos: list[Path]
    ) -> None:
        self.stack, self.api, self.sandbox, self.photos = stack, api, sandbox, photos
        self.seen: dict[str, Observation] = {}
        self._images: list[str] = []
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def all(self, rows: Iterable[Row]) -> dict[str, Observation]:
        """Drive the rows; what was seen, by the rows' names."""
        rows = list(rows)
        await self.providers(**USUAL)
        self._images = await upload(self.api, self.photos)
        async with asyncio.TaskGroup() as group:
            for row in [row for row in rows if row.scene == "endless"]:
                training_id = await self.begin(row, training_seconds=3600)
                group.create_task(self.observe(row, training_id))
            for row in sorted((row for row in rows if row.alone), key=lambda row: not row.name.startswith("whoami")):
                await self._alone(row)  # whoami is asked once per process, and again after a refusal
            for row in [row for row in rows if not row.alone and row.scene != "endless"]:
                group.create_task(self._in_crowd(row))
        return self.seen

    async def _alone(self, row: Row) -> None:
        async with scenes.around(row, self) as ask:
            await self.plan(row, {})
            training_id = await ask()
        await self.observe(row, training_id)
        await self.sandbox.delete("/_sandbox/faults")

    async def _in_crowd(self, row: Row) -> None:
        async with self._slots:
            words = words_of(row)
            await self.plan(row, words)
            if row.stage == "image_generation":
                await self._observe_generation(row, await self._generate(words["prompt"]))
            else:
                images = await scenes.images_of(row, self)
                training_id = await self.submit(row, images)
                await self.plan(row, {"model": f"fluxline-{uuid.UUID(training_id).hex[:12]}"})
                await self.observe(row, training_id)

    async def begin(self, row: Row, **providers: float) -> str:
        """Submit with these settings of the providers, and wait until the run has begun there."""
        await self.providers(**providers)
        training_id = await self.submit(row)
        await self.until(training_id, "training")
        await poll_until(lambda: self._has_run(training_id), timeout_s=JOB_TIMEOUT_S)
        await self.providers(**USUAL)
        return training_id

    async def _has_run(self, training_id: str) -> bool:
        answer = await self.api.get(f"/v1/trainings/{training_id}/events", headers={"Accept": "application/json"})
        return any(event["type"] == "training.started" for event in answer.json()["items"])

    async def providers(self, **settings: object) -> None:
        """Change the sandbox's settings."""
        (await self.sandbox.post("/_sandbox/settings", json=settings)).raise_for_status()

    async def plan(self, row: Row, words: Json) -> None:
        """Plan those faults of the row that these words can tell its job by."""
        faults = planned(row, words)
        if faults:
            (await self.sandbox.post("/_sandbox/faults", json=faults)).raise_for_status()

    async def submit(self, row: Row, images: list[str] | None = None) -> str:
        """Ask for the row's training; its id."""
        words = words_of(row)
        publish = {"enabled": True, "private": True, "accept_license": True, "repo_name": words["repo"]}
        body = job(images or self._images, name=row.name, trigger_word=words["trigger"], publish=publish)
        headers = {"Idempotency-Key": str(uuid.uuid4())}
        answer = await self.api.post("/v1/trainings", json=body, headers=headers)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    async def until(self, training_id: str, *statuses: str) -> Json:
        """The training once it has one of the statuses or has ended."""
        return await self._until(f"/v1/trainings/{training_id}", statuses)

    async def _until(self, path: str, statuses: tuple[str, ...]) -> Json:
        async def reached() -> Json | None:
            answer = await self.api.get(path)
            assert answer.status_code == 200, answer.text
            found: Json = answer.json()
            return found if found["status"] in (*statuses, *ENDED) else None

        found = await poll_until(reached, timeout_s=JOB_TIMEOUT_S, interval_s=0.2)
        assert found
        return found

    async def observe(self, row: Row, training_id: str) -> None:
        """Wait for the job's end, and until the collector knows of it."""
        training = await self.until(training_id)

        async def known() -> Json | None:
            answer = await self.api.get(f"/v1/trainings/{training_id}/debug")
            summary: Json = answer.json() if answer.status_code == 200 else {"status": answer.text}
            return summary if summary["status"] in ENDED else None

        try:
            summary = await poll_until(known, timeout_s=20, interval_s=0.2)
        except TimeoutError:
            summary = (await self.api.get(f"/v1/trainings/{training_id}/debug")).json()
        self.seen[row.name] = Observation(training, summary or {})

    async def _generate(self, prompt: str) -> str:
        body = {"prompt": prompt, "aspect_ratio": "1:1", "output_format": "webp"}
        answer = await self.api.post("/v1/generations", json=body)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    async def _observe_generation(self, row: Row, generation_id: str) -> None:
        generation = await self._until(f"/v1/generations/{generation_id}", ())
        connection = await asyncpg.connect(self.stack.state["postgres_url"], timeout=10)
        last = {"stage.succeeded", "stage.failed"}

        async def stored() -> list[Json] | None:
            rows = [dict(each) for each in await connection.fetch(_GENERATION_EVENTS, uuid.UUID(generation_id))]
            return rows if rows and rows[-1]["subject"] in last else None

        try:
            events = await poll_until(stored, timeout_s=20, interval_s=0.2)
        finally:
            await connection.close()
        self.seen[row.name] = Observation(generation, events=events or [])


def words_of(row: Row) -> Json:
    """What the row's job is told by in the calls to the providers; no word is part of another row's."""
    mark = f"{row.name}-zz"
    return {"trigger": f"TOK-{mark}", "repo": f"diag-{mark}", "prompt": f"{row.prompt}, {mark}"}


def drive(stack: FaultStack, rows: Iterable[Row], photos: list[Path]) -> dict[str, Observation]:
    """Drive the rows through the stack; blocks until every job has ended."""

    async def driven() -> dict[str, Observation]:
        async with (
            stack.client(stack.state["api_key"]) as api,
            httpx.AsyncClient(base_url=stack.state["sandbox_url"], timeout=20) as sandbox,
        ):
            began = time.monotonic()
            seen = await Run(stack, api, sandbox, photos).all(rows)
            print(f"{len(seen)} jobs in {time.monotonic() - began:.0f} s")
            return seen

    return asyncio.run(driven())
