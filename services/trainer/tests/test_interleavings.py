"""Whatever comes in whatever order: at most one paid run of a run, and an end. And a crowd of jobs at once."""

import os
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from fluxline.contracts.events import TrainingCanceled, TrainingFailed, TrainingSucceeded, ZipCreated
from fluxline.runtime.telemetry import Metrics
from fluxline_trainer.app import make_engine
from fluxline_trainer.engine import Engine
from fluxline_trainer.job import Job, JobState
from fluxline_trainer.provider import RunStatus
from fluxline_trainer.workers import Workers
from polling import poll_until

from .bench import TRACE, Bench
from .dying import Crash
from .imagined import ImaginedLinks, ImaginedProvider

CROWD = int(os.environ.get("FLUXLINE_CROWD", "300"))
"""How many jobs one process has in flight; `make test-faults` takes 2,000."""
ANSWERS = ("lost before", "lost after", "crash before", "crash after", "refused")
ENDS = (RunStatus.PROCESSING, RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.ABORTED)
ACTIONS = st.one_of(
    st.sampled_from(["archive", "cancel", "deadline", "retry", "wait", "look", "look", "look"]),
    st.sampled_from(ANSWERS),
    st.sampled_from(ENDS),
)


class World:
    """One training, its provider, a clock that jumps, and a gateway that asks for what a gateway may ask for."""

    def __init__(self, bench: Bench, archive: ZipCreated) -> None:
        self.bench = bench
        self.archive = archive
        self.run = 0
        self.canceled = False
        self.expired: set[int] = set()
        self.shift = timedelta()
        self.provider = ImaginedProvider(self.clock)
        self.engine = imagined_engine(bench, self.provider, self.clock)

    @property
    def training_id(self) -> UUID:
        return self.archive.training_id

    def clock(self) -> datetime:
        return datetime.now(UTC) + self.shift

    async def act(self, action: str) -> None:
        if action in ANSWERS:
            self.provider.next_answer = action
        elif action in ENDS:
            self.provider.move(RunStatus(action))
        elif action == "wait":
            self.shift += timedelta(seconds=200)
        else:
            steps = {
                "archive": self.deliver,
                "look": self.look,
                "cancel": self.cancel,
                "deadline": self.deadline,
                "retry": self.retry,
            }
            await steps[action]()

    async def look(self) -> None:
        with suppress(Crash):
            await self.engine.advance(self.training_id)

    async def deliver(self) -> None:
        await self.bench.intake.accept("trainer", self.archive, TRACE)

    async def cancel(self) -> None:
        if not self.canceled and self.run not in self.expired:
            self.canceled = not await self.has_failed()
            if self.canceled:
                await self.bench.cancel(self.training_id, self.run)

    async def deadline(self) -> None:
        if self.canceled or self.run in self.expired or await self.has_failed():
            return
        self.expired.add(self.run)
        await self.bench.cancel(self.training_id, self.run, "deadline")

    async def retry(self) -> None:
        if not self.canceled and (self.run in self.expired or await self.has_failed()):
            self.run += 1
            await self.bench.retry(self.archive, self.run)

    async def has_failed(self) -> bool:
        return any(event.run == self.run for event in await self.told(TrainingFailed))

    async def told(self, kind: type[Any]) -> list[Any]:
        return [event for event in await self.bench.told_of(kind) if event.training_id == self.training_id]

    async def settle(self) -> Job | None:
        """What remains happens: the archive arrives, time passes, runs succeed."""
        await self.deliver()
        for _ in range(60):
            await self.look()
            job = await self.bench.jobs.find(self.training_id)
            if job is None or job.state.is_final:
                return job
            self.provider.move(RunStatus.SUCCEEDED)
            self.shift += timedelta(seconds=200)
        raise AssertionError(f"the job never ended: {job}")


def imagined_engine(bench: Bench, provider: ImaginedProvider, clock: Any = None) -> Engine:
    rules = bench.settings(min_weights_bytes=1024, settle_s=120, retry_base_s=1, confirm_s=1)
    links: Any = ImaginedLinks()
    return make_engine(rules, bench.jobs, provider, links, bench.storage, bench.timers, Metrics(), clock)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(actions=st.lists(ACTIONS, max_size=20))
@example(["archive", "look", RunStatus.SUCCEEDED, "deadline", "look", "retry", "look"])
@example(["archive", "crash after", "look", "deadline", "retry", "look", "cancel", "look"])
async def test_any_interleaving_ends_and_pays_at_most_once_a_run(bench: Bench, actions: list[str]) -> None:
    await bench.database.pool.execute("TRUNCATE outbox, jobs, cancelations")
    world = World(bench, await bench.archive())
    for action in actions:
        await world.act(action)
    job = await world.settle()
    assert world.provider.live == []
    assert world.provider.worst <= 1
    assert len(world.provider.runs) <= world.run + 1
    assert [run.status for run in world.provider.runs.values()].count(RunStatus.SUCCEEDED) <= 1
    assert len(await world.told(TrainingCanceled)) >= world.canceled
    if job is not None:
        assert (job.state is JobState.CANCELED) == world.canceled
        assert len(await world.told(TrainingSucceeded)) <= 1
        if job.state is JobState.SUCCEEDED:
            assert [event.run for event in await world.told(TrainingSucceeded)] == [world.run]
        if job.state is JobState.FAILED:
            assert world.run in world.expired or await world.has_failed()


async def test_a_crowd_of_jobs_in_one_process_takes_few_connections_and_little_memory(bench: Bench) -> None:
    provider = ImaginedProvider(lambda: datetime.now(UTC))
    workers = Workers(bench.jobs, imagined_engine(bench, provider).advance, limit=16)
    archive = await bench.archive()
    ids = [UUID(int=number << 80) for number in range(1, CROWD + 1)]
    for training_id in ids:
        event = archive.model_copy(update={"training_id": training_id, "event_id": training_id})
        await bench.intake.accept("trainer", event, TRACE)
    before, began = resident_bytes(), time.monotonic()
    for status in (RunStatus.STARTING, RunStatus.PROCESSING):
        provider.move(status)
        workers.start(ids)
        await poll_until(lambda: not workers.busy, timeout_s=100)
    seconds = time.monotonic() - began
    assert len(provider.live) == CROWD
    assert await bench.database.pool.fetchval("SELECT count(*) FROM jobs WHERE state = 'training'") == CROWD
    assert bench.database.pool.get_size() <= 20
    assert resident_bytes() - before < 64 * 1024**2
    print(f"{2 * CROWD / seconds:.0f} steps/s, {(resident_bytes() - before) / 1024**2:.1f} MiB more")
    await workers.close()


def resident_bytes() -> int:
    pages = Path("/proc/self/statm")
    if not pages.exists():
        pytest.skip("the kernel does not tell how much memory a process takes")
    return int(pages.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
