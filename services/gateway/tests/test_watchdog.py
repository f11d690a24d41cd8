"""The watchdog on real servers: why a job waits, what is sent again, what ends.

Time passes by moving the watchdog's notes back.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import nats as nats_py
import pytest
from nats.aio.msg import Msg
from nats.errors import TimeoutError as NothingToDo
from nats.js import JetStreamContext
from prometheus_client import CollectorRegistry

from fluxline.contracts import events as e
from fluxline.contracts.catalog import TRAINER, ZIPPER
from fluxline.contracts.errors import ErrorCategory, FluxlineError, Stage
from fluxline.contracts.event import Event
from fluxline.postgres.outbox import Relay, enqueue
from fluxline.postgres.pool import Database
from fluxline.runtime.bus import Bus
from fluxline.runtime.envelope import Received, body_of, read_event
from fluxline.runtime.handlers import Handlers
from fluxline.runtime.provision import consumer_config
from fluxline.runtime.stages import StageAttempt
from fluxline.runtime.subscription import Subscription
from fluxline.runtime.telemetry import Metrics, make_tracer_provider
from fluxline_gateway.deps import Gateway
from fluxline_gateway.trainings.projection import Projection
from fluxline_gateway.trainings.watchdog import Patience, Watchdog, by_stage
from fluxline_gateway.trainings.work_queues import WorkQueues
from polling import poll_until
from servers import NatsServer
from streams import events_of, messages_of

from .jobs import job_after, order_of
from .serving import served_gateway

SLOW_LOOKS = Patience(watch_s=10_000)
"""So long between looks that any time may have passed since the last one."""


@dataclass
class World:
    """A gateway whose background work happens when the test says so."""

    client: httpx.AsyncClient
    database: Database
    jetstream: JetStreamContext
    bus: Bus
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    def __post_init__(self) -> None:
        self.watchdog = Watchdog(self.database, self.bus, self.registry, SLOW_LOOKS)
        self._relay = Relay(self.database, self.bus)

    async def request(self) -> e.TrainingRequested:
        """A training that somebody asked for, on the stream and in the rows."""
        answer = await self.client.post("/v1/trainings", json=await order_of(self.database))
        await self.flow()
        (event,) = [
            event
            for event in await events_of(self.jetstream, e.TrainingRequested)
            if str(event.training_id) == answer.json()["id"]
        ]
        return event

    async def tell(self, *events: Event) -> None:
        """What services say, as far as the rows."""
        for event in events:
            await self.bus.publish(event)
        await self.flow()

    async def flow(self) -> None:
        """Outbox to stream to rows."""
        while await self._relay.publish_batch():
            pass
        now = datetime.now(UTC)
        batch = [
            Received(message.subject or "", message.data or b"", message.headers or {}, message.seq or 0, 1, now)
            for message in await messages_of(self.jetstream)
        ]
        await Projection(self.database).handle(batch)

    async def look_after(self, seconds: float) -> None:
        """A look such a time after the last one."""
        back = "UPDATE stage_watches SET watched_at = watched_at - $1::interval, news_at = news_at - $1::interval"
        await self.database.pool.execute(back, timedelta(seconds=seconds))
        await self.watchdog.look()

    async def shown(self, training_id: UUID) -> dict[str, Any]:
        """The training as its owner sees it."""
        training: dict[str, Any] = (await self.client.get(f"/v1/trainings/{training_id}")).json()
        return training

    async def reason(self, training_id: UUID) -> str | None:
        """Why the training waits, as its owner sees it."""
        reason: str | None = (await self.shown(training_id))["waiting_reason"]
        return reason

    async def repeats(self) -> list[tuple[str, bytes]]:
        """Message ids and bodies of what was sent again."""
        found = [((m.headers or {}).get("Nats-Msg-Id", ""), m.data or b"") for m in await messages_of(self.jetstream)]
        return [(message_id, body) for message_id, body in found if ":w" in message_id]


@pytest.fixture
async def world(
    nats: NatsServer, jetstream: JetStreamContext, client: httpx.AsyncClient, database: Database
) -> AsyncIterator[World]:
    bus = Bus("gateway", nats.url, make_tracer_provider("gateway", None))
    await bus.broker.connect()
    yield World(client, database, jetstream, bus)
    bus.stopping = True
    await bus.broker.stop()


@asynccontextmanager
async def service(nats: NatsServer, durable: str, *, busy: bool = False) -> AsyncIterator[list[Msg]]:
    """A replica that takes messages; a busy one takes one and asks for no other."""
    client = await nats_py.connect(nats.url)
    subscription = await client.jetstream().pull_subscribe_bind(durable, stream="EVENTS")
    taken: list[Msg] = []

    async def work() -> None:
        while not (busy and taken):
            try:
                taken.extend(await subscription.fetch(timeout=5))
            except NothingToDo:
                continue
            if not busy:
                await taken[-1].ack()

    task = asyncio.create_task(work())
    try:
        yield taken
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await client.close()


class Throttled(FluxlineError):
    """The provider wants us to wait."""

    category = ErrorCategory.RATE_LIMIT


def zipped(cause: e.TrainingRequested) -> list[Event]:
    """The job up to the end of its archive."""
    return job_after(cause)[:4]


async def asked_for_work(jetstream: JetStreamContext, durable: str) -> bool:
    info = await jetstream.consumer_info("EVENTS", durable)
    return bool(info.num_waiting) and not info.num_ack_pending and not info.num_pending


async def test_a_job_whose_service_is_away_says_which_one_and_that_it_goes_on_by_itself(
    world: World, nats: NatsServer
) -> None:
    job = await world.request()
    for _ in range(3):
        await world.look_after(31)
    assert await world.reason(job.training_id) == (
        "service down: no zipper is taking work; it goes on by itself once one runs"
    )
    assert world.registry.get_sample_value("fluxline_jobs_waiting", {"reason": "service down"}) == 1
    async with service(nats, ZIPPER.durable):
        await poll_until(lambda: asked_for_work(world.jetstream, ZIPPER.durable))
        await world.look_after(1)
    assert str(await world.reason(job.training_id)).startswith("slow: no news from zip_creation since ")
    await world.tell(*zipped(job)[:2])
    assert await world.reason(job.training_id) is None
    for _ in range(3):
        await world.look_after(31)
    assert str(await world.reason(job.training_id)).startswith("service down: no zipper")


async def test_a_job_that_is_as_fast_as_usual_waits_for_nothing(world: World) -> None:
    job = await world.request()
    for _ in range(2):
        await world.look_after(14)
    assert await world.reason(job.training_id) is None


async def test_without_nats_every_silent_job_says_so(
    gateway: Gateway, client: httpx.AsyncClient, database: Database
) -> None:
    training_id = (await client.post("/v1/trainings", json=await order_of(database))).json()["id"]
    watchdog = Watchdog(database, gateway.bus, CollectorRegistry(), Patience(watch_s=10_000, usual_s=by_stage(0, 0, 0)))
    await watchdog.look()
    training = (await client.get(f"/v1/trainings/{training_id}")).json()
    assert training["waiting_reason"].startswith("service down: NATS cannot be reached")
    assert training["status"] == "requested"


async def test_a_job_in_a_queue_says_how_many_are_before_it(world: World, nats: NatsServer) -> None:
    jobs = [await world.request() for _ in range(3)]
    async with service(nats, ZIPPER.durable, busy=True) as taken:
        await poll_until(lambda: taken)
        for _ in range(3):
            await world.look_after(31)
        reasons = [await world.reason(job.training_id) for job in jobs]
    assert str(reasons[0]).startswith("slow: ")
    assert reasons[1:] == ["queued: 1 job before it at zipper", "queued: 2 jobs before it at zipper"]


async def test_a_service_that_died_with_work_in_its_hands_is_away_unless_other_jobs_move_there(
    world: World, nats: NatsServer
) -> None:
    job, neighbour = [await world.request() for _ in range(2)]
    await world.jetstream.delete_consumer("EVENTS", ZIPPER.durable)
    short = replace(ZIPPER, ack_wait_s=0.1)
    await world.jetstream.add_consumer("EVENTS", config=consumer_config(short))
    async with service(nats, ZIPPER.durable, busy=True) as taken:
        await poll_until(lambda: taken)

    async def is_said_to_be_away() -> bool:
        await world.look_after(31)
        return str(await world.reason(job.training_id)).startswith("service down: no zipper")

    await poll_until(is_said_to_be_away)
    facts = {"done": 1, "total": 20, "current": "a", "size_bytes": 1}
    await world.tell(e.ZipProgressed.caused_by(neighbour, **facts))
    await world.watchdog.look()
    assert str(await world.reason(job.training_id)).startswith("slow: no news from zip_creation")


async def test_a_service_of_the_runtime_that_waits_for_work_is_never_said_to_be_away(
    world: World, nats: NatsServer
) -> None:
    bus = Bus("zipper", nats.url, make_tracer_provider("zipper", None))
    handlers = Handlers(ZIPPER)
    queues = WorkQueues(world.bus, (Stage.ZIP_CREATION,))
    Subscription(bus, handlers, Metrics()).register()
    await bus.broker.start()
    try:
        await poll_until(lambda: asked_for_work(world.jetstream, ZIPPER.durable))
        idle = []
        for _ in range(60):
            found = await queues.look()
            assert found
            idle.append(found[Stage.ZIP_CREATION].idle)
            await asyncio.sleep(0.1)
    finally:
        bus.stopping = True
        await bus.broker.stop()
    assert not any(idle)


async def test_a_provider_that_has_not_begun_is_named(world: World, nats: NatsServer) -> None:
    job = await world.request()
    done = zipped(job)
    attempt = StageAttempt(Stage.REPLICATE_TRAINING, "trainer", done[2], 1)
    starting = e.TrainingProgressed.caused_by(done[2], percent=0, phase="starting")
    await world.tell(*done, attempt.started(), starting)
    async with service(nats, TRAINER.durable):
        await poll_until(lambda: asked_for_work(world.jetstream, TRAINER.durable))
        for _ in range(2):
            await world.look_after(121)
    reason = await world.database.pool.fetchval("SELECT waiting_reason FROM trainings")
    assert reason == "provider queue: Replicate has not started it yet"


async def test_a_known_time_of_the_next_attempt_stands(world: World) -> None:
    job = await world.request()
    attempt = StageAttempt(Stage.ZIP_CREATION, "zipper", job, 1)
    await world.tell(attempt.started(), attempt.retried(Throttled(), 3600))
    before = await world.reason(job.training_id)
    for _ in range(3):
        await world.look_after(900)
    assert str(before).startswith("rate limit until ")
    assert await world.reason(job.training_id) == before
    assert await world.repeats() == []


async def test_a_silent_stage_gets_its_event_again_twice_at_most_however_often_it_is_looked_at(
    world: World, nats: NatsServer
) -> None:
    job = await world.request()
    async with service(nats, ZIPPER.durable) as taken:
        await poll_until(lambda: asked_for_work(world.jetstream, ZIPPER.durable))
        await world.look_after(0)
        for _ in range(5):
            world.watchdog = Watchdog(world.database, world.bus, CollectorRegistry(), SLOW_LOOKS)
            await world.look_after(601)
        await poll_until(lambda: len(taken) == 3)
    first = taken[0].data
    assert await world.repeats() == [(f"{job.event_id}:w{n}", first) for n in (1, 2)]
    assert {message.headers["traceparent"].split("-")[1] for message in taken if message.headers} == {
        (await world.shown(job.training_id))["trace_id"]
    }


async def test_what_another_service_said_is_sent_again_as_it_was(world: World, nats: NatsServer) -> None:
    job = await world.request()
    done = zipped(job)
    await world.tell(*done)
    async with service(nats, TRAINER.durable):
        await poll_until(lambda: asked_for_work(world.jetstream, TRAINER.durable))
        await world.look_after(0)
        await world.look_after(601)
    ((message_id, body),) = await world.repeats()
    assert message_id == f"{done[2].event_id}:w1"
    assert body == body_of(done[2])


async def test_nothing_is_sent_again_while_the_service_is_away_or_the_job_queues(
    world: World, nats: NatsServer
) -> None:
    jobs = [await world.request() for _ in range(2)]
    for _ in range(4):
        await world.look_after(700)
    async with service(nats, ZIPPER.durable, busy=True) as taken:
        await poll_until(lambda: taken)
        await world.look_after(700)
    assert f"{jobs[1].event_id}:w1" not in dict(await world.repeats())


async def test_two_watchdogs_at_once_do_everything_once(world: World, nats: NatsServer) -> None:
    job = await world.request()
    others = [Watchdog(world.database, world.bus, CollectorRegistry(), SLOW_LOOKS) for _ in range(4)]
    async with service(nats, ZIPPER.durable):
        await poll_until(lambda: asked_for_work(world.jetstream, ZIPPER.durable))
        await world.look_after(0)
        await world.database.pool.execute("UPDATE stage_watches SET watched_at = now() - interval '601 s'")
        await asyncio.gather(*(watchdog.look() for watchdog in others))
        await world.database.pool.execute("UPDATE stage_watches SET watched_at = now() - interval '3601 s'")
        await asyncio.gather(*(watchdog.look() for watchdog in others))
    await world.flow()
    assert [message_id for message_id, _ in await world.repeats()] == [f"{job.event_id}:w1"]
    assert len(await events_of(world.jetstream, e.TrainingFailed)) == 1


async def test_a_job_past_its_deadline_fails_with_the_reason_and_its_run_is_stopped(
    world: World, nats: NatsServer
) -> None:
    job = await world.request()
    done = zipped(job)
    await world.tell(*done, StageAttempt(Stage.REPLICATE_TRAINING, "trainer", done[2], 2).started())
    async with service(nats, TRAINER.durable):
        await poll_until(lambda: asked_for_work(world.jetstream, TRAINER.durable))
        await world.look_after(0)
        await world.look_after(14_000)
        assert (await world.shown(job.training_id))["status"] == "training"
        for _ in range(3):
            await world.look_after(401)
    await world.flow()
    training = await world.shown(job.training_id)
    assert (training["status"], training["error"]["category"]) == ("failed", "timeout")
    assert training["error"]["message"] == "replicate_training took longer than 4 h"
    assert "slow: no news from replicate_training since" in training["error"]["hint"]
    assert training["waiting_reason"] is None
    (failed,) = await events_of(world.jetstream, e.TrainingFailed)
    (stop,) = await events_of(world.jetstream, e.TrainingCancelRequested)
    assert (failed.retryable, failed.run, failed.attempts) == (True, 0, 2)
    assert (stop.training_id, stop.run, stop.reason) == (job.training_id, 0, "deadline")
    assert world.registry.get_sample_value("fluxline_jobs_timed_out_total") == 1


async def test_a_job_that_ended_while_it_waited_for_the_provider_says_so(world: World, nats: NatsServer) -> None:
    job = await world.request()
    attempt = StageAttempt(Stage.ZIP_CREATION, "zipper", job, 1)
    await world.tell(attempt.started(), attempt.retried(Throttled(), 3600))
    async with service(nats, ZIPPER.durable):
        await poll_until(lambda: asked_for_work(world.jetstream, ZIPPER.durable))
        await world.look_after(0)
        await world.look_after(3601)
    await world.flow()
    assert "waiting for: rate limit until " in (await world.shown(job.training_id))["error"]["hint"]


async def test_steady_progress_does_not_move_the_deadline(world: World, nats: NatsServer) -> None:
    job = await world.request()
    async with service(nats, ZIPPER.durable):
        await poll_until(lambda: asked_for_work(world.jetstream, ZIPPER.durable))
        for done in range(1, 6):
            facts = {"done": done, "total": 20, "current": "a", "size_bytes": 1}
            await world.tell(e.ZipProgressed.caused_by(job, discriminator=str(done), **facts))
            await world.look_after(1000)
    await world.flow()
    assert (await world.shown(job.training_id))["error"]["category"] == "timeout"


async def test_a_clock_that_jumps_an_hour_ends_nothing(world: World, nats: NatsServer) -> None:
    job = await world.request()
    await world.tell(StageAttempt(Stage.ZIP_CREATION, "zipper", job, 1).started())
    world.watchdog = Watchdog(world.database, world.bus, CollectorRegistry(), Patience())
    async with service(nats, ZIPPER.durable):
        await poll_until(lambda: asked_for_work(world.jetstream, ZIPPER.durable))
        await world.look_after(0)
        for jump_s in (3600, -3600, 7200, -7200, 3600):
            await world.look_after(jump_s)
    await world.flow()
    assert (await world.shown(job.training_id))["status"] == "zipping"
    assert await world.database.pool.fetchval("SELECT worked_s FROM stage_watches") <= 5 * 60 + 5
    assert await world.repeats() == []


async def test_time_without_a_service_and_time_in_a_queue_do_not_count(world: World, nats: NatsServer) -> None:
    first, second = [await world.request() for _ in range(2)]
    for _ in range(2):
        await world.look_after(0)
    for _ in range(4):
        await world.look_after(3000)
    async with service(nats, ZIPPER.durable, busy=True) as taken:
        await poll_until(lambda: taken)
        await world.look_after(3000)
        await world.look_after(3000)
    await world.flow()
    assert (await world.shown(first.training_id))["status"] == "failed"
    assert (await world.shown(second.training_id))["status"] == "requested"


async def test_a_cancelation_that_nobody_answers_is_sent_again(world: World, nats: NatsServer) -> None:
    job = await world.request()
    cancel = e.TrainingCancelRequested.first(f"{job.training_id}/0", training_id=job.training_id)
    async with world.database.transaction() as connection:
        await enqueue(connection, "gateway", cancel)
    await world.flow()
    for _ in range(3):
        await world.look_after(31)
    assert str(await world.reason(job.training_id)).startswith("service down: no trainer")
    async with service(nats, TRAINER.durable):
        await poll_until(lambda: asked_for_work(world.jetstream, TRAINER.durable))
        await world.look_after(601)
    ((message_id, body),) = await world.repeats()
    assert (message_id, read_event(cancel.subject, body)) == (f"{cancel.event_id}:w1", cancel)


async def test_a_new_run_has_time_of_its_own(world: World, nats: NatsServer) -> None:
    job = await world.request()
    async with service(nats, ZIPPER.durable):
        await poll_until(lambda: asked_for_work(world.jetstream, ZIPPER.durable))
        await world.look_after(0)
        await world.look_after(3601)
        await world.flow()
        assert (await world.shown(job.training_id))["status"] == "failed"
        facts = job.model_copy(update={"run": 1}).job_facts() | {"from_stage": "zip_creation", "images": job.images}
        retry = e.TrainingRetryRequested.first(f"{job.training_id}/1", training_id=job.training_id, **facts)
        await world.tell(retry)
        await world.look_after(0)
        await world.look_after(601)
        assert [message_id for message_id, _ in await world.repeats()] == [f"{retry.event_id}:w1"]
        await world.look_after(3601)
    await world.flow()
    assert [failed.run for failed in await events_of(world.jetstream, e.TrainingFailed)] == [0, 1]


async def test_a_whole_gateway_tells_and_ends_by_itself(
    nats: NatsServer, jetstream: JetStreamContext, database_url: str, tmp_path: Path
) -> None:
    fast = {"watch_s": 0.1, "usual_zip_s": 0.3, "deadline_zip_s": 1.0}
    async with served_gateway(nats.url, database_url, tmp_path, **fast) as served:
        answer = await served.client.post("/v1/trainings", json=await order_of(served.gateway.database))
        path = f"/v1/trainings/{answer.json()['id']}"

        async def training() -> dict[str, Any]:
            return dict((await served.client.get(path)).json())

        async def says_that_the_zipper_is_away() -> bool:
            return str((await training())["waiting_reason"]).startswith("service down: no zipper")

        async def has_failed() -> bool:
            return bool((await training())["status"] == "failed")

        await poll_until(says_that_the_zipper_is_away)
        async with service(nats, ZIPPER.durable):
            await poll_until(has_failed)
        assert (await training())["error"]["category"] == "timeout"
        metrics = (await served.client.get("/metrics")).text
    assert "fluxline_jobs_timed_out_total 1.0" in metrics


def test_an_outage_fails_no_job_but_no_job_is_open_for_ever() -> None:
    patience = Patience(silence_s=1000.0)
    assert patience.exceeded_s(Stage.ZIP_CREATION, worked_s=0.0, silent_s=999.0) is None
    assert patience.exceeded_s(Stage.ZIP_CREATION, worked_s=0.0, silent_s=1000.0) == 1000.0
    assert patience.exceeded_s(Stage.ZIP_CREATION, worked_s=3600.0, silent_s=0.0) == 3600.0
