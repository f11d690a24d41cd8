"""What a row does and sees from outside: jobs in, and afterwards whether every promise was kept.

L: every accepted training ends. B: the provider was asked to train as often as it should. D: every effect is there
once. O: nothing is left over: no archive, no unpublished event, no message that somebody still has to handle.
"""

import asyncio
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import nats
from nats.js.errors import NotFoundError

from e2e.running import job, upload
from polling import poll_until

from .rows import within
from .stack import SERVICES, FaultStack

Json = dict[str, Any]
ENDED = ("completed", "failed", "canceled")
MILESTONES = ("training.requested", "zip.created", "training.started", "training.succeeded", "model.published")
JOB_TIMEOUT_S = 60.0
CALM_TIMEOUT_S = 45.0
USUAL = {"training_seconds": 1.0, "generation_seconds": 0.3, "list_lag_seconds": 0.0, "training_outcome": "succeeded"}
REPLICATE = {"Authorization": "Bearer r8_sandbox_0000000000000000000000000000000"}
TEMPORARY = ("zips", "weights")
"""The storage folders that hold nothing of a training that has ended well."""
_EVENTS = "SELECT subject, event_id, stored_at FROM collector.events WHERE training_id = ANY($1::uuid[])"
_RUNNING = "SELECT count(*) FROM gateway.trainings WHERE status NOT IN ('completed', 'failed', 'canceled')"
_WAITING = (
    "SELECT (SELECT count(*) FROM gateway.outbox WHERE published_at IS NULL)"
    " + (SELECT count(*) FROM trainer.outbox WHERE published_at IS NULL)"
)


class Scene:
    """One row's view of the stack; counts are those since `begin`."""

    def __init__(
        self, stack: FaultStack, api: httpx.AsyncClient, sandbox: httpx.AsyncClient, photos: list[Path]
    ) -> None:
        self.stack, self.api, self.sandbox, self.photos = stack, api, sandbox, photos
        self.images: list[str] = []
        self.began = time.monotonic()
        self._before: Json = {}

    async def begin(self) -> None:
        """Usual providers, photos uploaded, counters read."""
        await self.sandbox.delete("/_sandbox/faults")
        await self.providers(**USUAL)
        self.images = await upload(self.api, self.photos)
        self._before = (await self.sandbox.get("/_sandbox/state")).json()
        self.began = time.monotonic()

    async def end(self) -> None:
        """Calm again; raises when the row has left something broken behind."""
        await self.sandbox.delete("/_sandbox/faults")
        await self.providers(**USUAL)
        await self.healthy()
        await poll_until(self._all_ended, timeout_s=4 * JOB_TIMEOUT_S, interval_s=0.2)
        await self.calm()

    async def providers(self, **settings: Any) -> None:
        """Change the sandbox's settings."""
        (await self.sandbox.post("/_sandbox/settings", json=settings)).raise_for_status()

    async def fault(self, operation: str, kind: str, *, provider: str = "replicate", **details: Any) -> None:
        """Plan a failure of the provider."""
        plan = {"provider": provider, "operation": operation, "kind": kind, **details}
        (await self.sandbox.post("/_sandbox/faults", json=plan)).raise_for_status()

    async def count(self, what: str) -> int:
        """How many `trainings`, `commits`, `generations`, `cancels` or `webhooks` there were since `begin`."""
        return int((await self.sandbox.get("/_sandbox/state")).json()[what]) - int(self._before[what])

    async def calls(self, operation: str) -> int:
        """How often the providers were called for it, ever (up to the log's 5,000)."""
        log: list[Json] = (await self.sandbox.get("/_sandbox/log")).json()
        return sum(call["operation"] == operation for call in log)

    async def submit(
        self, count: int = 1, *, at_once: int = 8, timeout_s: float = JOB_TIMEOUT_S, **changes: Any
    ) -> list[str]:
        """Ask for trainings as a well-behaved client does: the same key until there is an answer. Returns the ids."""
        slots = asyncio.Semaphore(at_once)

        async def one(number: int) -> str:
            async with slots:
                return await self._submit(job(self.images, name=f"Job {number}", **changes), timeout_s)

        return list(await asyncio.gather(*(one(number) for number in range(count))))

    async def _submit(self, body: Json, timeout_s: float) -> str:
        headers = {"Idempotency-Key": str(uuid.uuid4())}

        async def accepted() -> Json | None:
            answer = await self.patient("POST", "/v1/trainings", json=body, headers=headers)
            assert answer is None or answer.status_code == 202, answer.text
            return answer.json() if answer else None

        training = await poll_until(accepted, timeout_s=timeout_s, interval_s=0.2)
        assert training
        return str(training["id"])

    async def patient(self, method: str, path: str, **options: Any) -> httpx.Response | None:
        """The gateway's answer; None while it is away or says that it cannot serve now."""
        try:
            answer = await self.api.request(method, path, **options)
        except httpx.TransportError:
            return None
        return None if answer.status_code in (502, 503, 504) else answer

    async def until(self, training_id: str, *statuses: str, timeout_s: float = JOB_TIMEOUT_S) -> Json:
        """The training once it has one of the statuses or has ended; a gateway that is away is waited for."""

        async def reached() -> Json | None:
            answer = await self.patient("GET", f"/v1/trainings/{training_id}")
            if answer is None:
                return None
            assert answer.status_code == 200, answer.text
            training: Json = answer.json()
            return training if training["status"] in (*statuses, *ENDED) else None

        training = await poll_until(reached, timeout_s=timeout_s, interval_s=0.05)
        assert training
        return training

    async def ended(self, ids: Sequence[str], *, timeout_s: float = JOB_TIMEOUT_S) -> list[Json]:
        """The trainings, all of them ended."""
        return list(await asyncio.gather(*(self.until(each, timeout_s=timeout_s) for each in ids)))

    async def completed(
        self, ids: Sequence[str], *, paid: int | None = None, timeout_s: float = JOB_TIMEOUT_S, copies: bool = False
    ) -> str:
        """Check L, B, D and O for trainings that have to complete; returns what was seen.

        `copies` says that the row itself has put copies of events on the stream.
        """
        trainings = await self.ended(ids, timeout_s=timeout_s)
        seconds = time.monotonic() - self.began
        wrong = [each for each in trainings if (each["status"], each["error"]) != ("completed", None)]
        assert not wrong, [(each["id"], each["status"], each["error"]) for each in wrong]
        await self.calm()
        bills, commits = await self.count("trainings"), await self.count("commits")
        assert bills == (len(ids) if paid is None else paid), f"{bills} trainings were paid for {len(ids)} jobs"
        assert commits == len(ids), f"{commits} commits for {len(ids)} jobs"
        if not copies:
            await self._check_events(ids)
        await poll_until(lambda: not self.left_over(ids), timeout_s=CALM_TIMEOUT_S)
        return f"{len(ids)} of {len(ids)} completed {within(seconds)}, {bills} paid, {commits} published"

    async def failed(self, training_id: str, stage: str, category: str, *, timeout_s: float = JOB_TIMEOUT_S) -> Json:
        """The training, which has to have failed at that stage for that reason, with a hint for a person."""
        training = await self.until(training_id, timeout_s=timeout_s)
        assert training["status"] == "failed", training
        error: Json = training["error"]
        assert (error["stage"], error["category"]) == (stage, category), error
        assert error["message"]
        assert error["hint"]
        await self.calm()
        return training

    async def _check_events(self, ids: Sequence[str]) -> None:
        rows = await self.query(_EVENTS, [uuid.UUID(each) for each in ids])
        per_subject = Counter(row["subject"] for row in rows)
        milestones = {subject: per_subject[subject] for subject in MILESTONES}
        assert milestones == dict.fromkeys(MILESTONES, len(ids)), milestones
        twice = [event for event, times in Counter(row["event_id"] for row in rows).items() if times > 1]
        assert not twice, f"on the stream more than once: {twice}"

    async def events(self, training_id: str) -> list[Json]:
        """The training's history, oldest first."""
        answer = await self.api.get(
            f"/v1/trainings/{training_id}/events", headers={"Accept": "application/json"}, params={"limit": 1000}
        )
        assert answer.status_code == 200, answer.text
        items: list[Json] = answer.json()["items"]
        return items

    async def until_event(self, training_id: str, kind: str, *, timeout_s: float = JOB_TIMEOUT_S) -> None:
        """Wait until the history holds an event of that type."""

        async def told() -> bool:
            return any(event["type"] == kind for event in await self.events(training_id))

        await poll_until(told, timeout_s=timeout_s, interval_s=0.05)

    async def until_calls(self, operation: str, count: int, *, or_ended: str, timeout_s: float = JOB_TIMEOUT_S) -> None:
        """Wait until the providers were called that often for it, or that training has ended."""

        async def called() -> bool:
            training = await self.until(or_ended, "publishing")
            return training["status"] != "publishing" or await self.calls(operation) >= count

        await poll_until(called, timeout_s=timeout_s, interval_s=0.05)

    async def running_trainings(self) -> int:
        """How many trainings the provider has running: what costs money now."""
        answer = await self.sandbox.get("/replicate/v1/trainings", headers=REPLICATE)
        answer.raise_for_status()
        return sum(each["status"] in ("starting", "processing") for each in answer.json()["results"])

    async def repositories(self) -> set[str]:
        """The repositories on the hub."""
        return {each["id"] for each in (await self.sandbox.get("/_sandbox/state")).json()["repos"]}

    async def has_repositories(self, expected: set[str]) -> bool:
        """Whether the hub holds exactly these."""
        return await self.repositories() == expected

    def left_over(self, ids: Sequence[str]) -> list[str]:
        """The stored files of these trainings that should be gone."""
        root = self.stack.home / "storage"
        files = [path.relative_to(root).as_posix() for top in TEMPORARY for path in (root / top).rglob("*")]
        return [name for name in files if any(each in name for each in ids) and (root / name).is_file()]

    async def query(self, sql: str, *values: Any) -> list[asyncpg.Record]:
        """Rows out of the services' databases, as the superuser."""
        connection = await asyncpg.connect(self.stack.state["postgres_url"], timeout=10)
        try:
            return list(await connection.fetch(sql, *values))
        finally:
            await connection.close()

    async def healthy(self) -> None:
        """Wait until every service is ready."""
        async with httpx.AsyncClient(timeout=5) as http:
            for name in SERVICES:
                await poll_until(lambda name=name: self._is_ready(http, name), timeout_s=CALM_TIMEOUT_S)

    async def _is_ready(self, http: httpx.AsyncClient, name: str) -> bool:
        try:
            return (await http.get(self.stack.state["services"][name]["health_url"])).status_code == 200
        except httpx.TransportError:
            return False

    async def calm(self, timeout_s: float = CALM_TIMEOUT_S) -> None:
        """Wait until every service is ready, no event is unpublished and no message is left to handle."""
        await self.healthy()
        await poll_until(self._is_calm, timeout_s=timeout_s, interval_s=0.1)

    async def _all_ended(self) -> bool:
        return bool((await self.query(_RUNNING))[0][0] == 0)

    async def _is_calm(self) -> bool:
        [waiting] = await self.query(_WAITING)
        return waiting[0] == 0 and not await self.backlog()

    async def backlog(self) -> dict[str, int]:
        """Messages not handled yet, by durable consumer; those that nobody has ever bound are left out."""
        client = await nats.connect(self.stack.state["nats_url"], connect_timeout=5)
        try:
            infos = await client.jetstream().consumers_info("EVENTS")
            return {
                info.name: (info.num_pending or 0) + (info.num_ack_pending or 0)
                for info in infos
                if (info.num_waiting or info.num_ack_pending) and (info.num_pending or info.num_ack_pending)
            }
        finally:
            await client.close()

    async def dead_letters(self, durable: str) -> int:
        """How many messages of that consumer lie in the DLQ."""
        client = await nats.connect(self.stack.state["nats_url"], connect_timeout=5)
        try:
            info = await client.jetstream().stream_info("DLQ", subjects_filter=f"dlq.{durable}")
            return int((info.state.subjects or {}).get(f"dlq.{durable}", 0))
        except NotFoundError:
            return 0
        finally:
            await client.close()
