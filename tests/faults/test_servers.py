"""NATS and PostgreSQL die, restart and are away, under load: nothing acknowledged is lost, everything goes on."""

import asyncio
import time
from random import Random

import httpx
import pytest

from polling import poll_until

from .conftest import Observe
from .load import Load
from .rows import fault
from .scene import JOB_TIMEOUT_S, Scene
from .stack import SERVICES

KILLS = 10
JOBS = 30


@fault(
    "F020",
    component="NATS",
    fault=f"kill -9 ×{KILLS} while events are published without pause",
    promise="acknowledged minus read is empty; nothing is stored twice",
)
async def test_what_nats_acknowledged_is_there_after_every_kill(scene: Scene, observe: Observe, seed: Random) -> None:
    async with Load([scene.stack.state["nats_url"]]) as load:
        for _ in range(KILLS):
            await load.until_more(seed.randint(20, 120))
            await scene.stack.restart("nats", crash=True)
    found = await load.read()
    assert not set(load.acknowledged) - set(found)
    assert len(found) == len(set(found))
    observe(f"{KILLS} kills, 0 lost, 0 twice")


@fault(
    "F021",
    component="NATS",
    fault=f"kill -9 ×{KILLS} while ten jobs run",
    promise="every job completes; one bill, one publication each",
)
async def test_jobs_survive_many_kills_of_nats(scene: Scene, observe: Observe, seed: Random) -> None:
    ids = await scene.submit(10)
    for _ in range(KILLS):
        await asyncio.sleep(seed.uniform(0.2, 1.0))
        await scene.stack.restart("nats", crash=True)
    observe(await scene.completed(ids, timeout_s=120))


@fault(
    "F022",
    component="PostgreSQL",
    fault="kill -9 ×5 while ten jobs are submitted and run",
    promise="every accepted job completes; one bill, one publication each",
)
async def test_jobs_survive_kills_of_postgresql(scene: Scene, observe: Observe, seed: Random) -> None:
    submitting = asyncio.create_task(scene.submit(10, at_once=2))
    for _ in range(5):
        await asyncio.sleep(seed.uniform(0.3, 1.5))
        await scene.stack.restart("postgres", crash=True)
    observe(await scene.completed(await submitting, timeout_s=120))


@fault(
    "F023",
    component="PostgreSQL",
    fault=f"restarted every 5 s while {JOBS} jobs run",
    promise="every job completes; one bill, one publication each",
)
async def test_jobs_complete_while_postgresql_restarts_again_and_again(scene: Scene, observe: Observe) -> None:
    stopping = asyncio.Event()

    async def restart() -> int:
        times = 0
        while not stopping.is_set():
            await asyncio.sleep(5)
            await scene.stack.restart("postgres")
            times += 1
        return times

    restarting = asyncio.create_task(restart())
    try:
        ids = await scene.submit(JOBS, at_once=4)
        await scene.ended(ids, timeout_s=180)
    finally:
        stopping.set()
        times = await restarting
    assert times >= 2
    observe(await scene.completed(ids))


@fault(
    "F024",
    component="NATS",
    fault="down for 30 s",
    promise="202 throughout; every job goes on when it is back",
)
async def test_trainings_are_accepted_while_nats_is_down(scene: Scene, observe: Observe) -> None:
    async with scene.stack.without("nats"):
        ids = await scene.submit(5)
        await asyncio.sleep(30)
        assert (await scene.api.get(f"/v1/trainings/{ids[0]}")).status_code == 200
    scene.began = time.monotonic()
    observe(f"accepted and readable while down; after its return {await scene.completed(ids)}")


@fault(
    "F025",
    component="PostgreSQL",
    fault="down for 30 s while five jobs run",
    promise="the gateway answers 503 with Retry-After and is not ready; all recovers by itself",
)
async def test_the_gateway_says_so_while_postgresql_is_down(scene: Scene, observe: Observe) -> None:
    ids = await scene.submit(5)
    async with scene.stack.without("postgres"):
        await asyncio.sleep(30)
        answer = await scene.api.get(f"/v1/trainings/{ids[0]}")
        ready = await scene.api.get("/readyz")
        alive = await scene.api.get("/healthz")
    assert (answer.status_code, ready.status_code, alive.status_code) == (503, 503, 200)
    assert int(answer.headers["retry-after"]) > 0
    assert answer.json()["hint"]
    seen = await scene.completed(ids)
    observe(f"503 + Retry-After, not ready, alive; then {seen}")


@fault(
    "F026",
    component="PostgreSQL",
    fault="silent for 15 s: connections stay, nothing answers",
    promise="every job completes once it speaks again",
)
async def test_a_database_that_falls_silent_is_waited_for(scene: Scene, observe: Observe) -> None:
    await scene.providers(training_seconds=3)
    ids = await scene.submit(3)
    for each in ids:
        await scene.until(each, "training")
    async with scene.stack.link("postgres", "silent"):
        await asyncio.sleep(15)
    observe(await scene.completed(ids, timeout_s=120))


@fault(
    "F027",
    component="NATS",
    fault="partitioned from every service for 15 s while jobs run",
    promise="every job completes; one bill, one publication each",
)
async def test_a_partition_from_nats_heals(scene: Scene, observe: Observe) -> None:
    await scene.providers(training_seconds=2)
    ids = await scene.submit(3)
    for each in ids:
        await scene.until(each, "training")
    async with scene.stack.link("nats", "silent"):
        await asyncio.sleep(15)
    observe(await scene.completed(ids))


@pytest.mark.parametrize(
    ("to", "service"),
    [
        pytest.param(
            to,
            service,
            id=f"{service}-{to}",
            marks=fault(
                f"F{number:03d}",
                component=service,
                fault=f"its link to {label} is cut for 5 s in the middle of a job",
                promise="the job completes; one bill, one publication",
            ),
        )
        for number, (service, to, label) in enumerate(
            [
                ("zipper", "nats", "NATS"),
                ("trainer", "nats", "NATS"),
                ("trainer", "postgres", "PostgreSQL"),
                ("publisher", "nats", "NATS"),
                ("gateway", "nats", "NATS"),
                ("gateway", "postgres", "PostgreSQL"),
                ("collector", "postgres", "PostgreSQL"),
            ],
            28,
        )
    ],
)
async def test_a_service_that_is_cut_off_comes_back(scene: Scene, observe: Observe, to: str, service: str) -> None:
    await scene.fault("commit", "latency", provider="huggingface", seconds=1)
    moment = {"zipper": "zipping", "publisher": "publishing"}.get(service, "training")
    ids = await scene.submit()
    await scene.until(ids[0], moment)
    async with scene.stack.link(to, "cut", service=service):
        await asyncio.sleep(5)
    observe(await scene.completed(ids))


@fault(
    "F035",
    component="all",
    fault="every link adds 100 ms to every chunk (to the providers: 20 ms)",
    promise="jobs complete; one bill, one publication each",
)
async def test_slow_links_only_cost_time(scene: Scene, observe: Observe) -> None:
    async with (
        scene.stack.link("nats", "open", delay_s=0.1),
        scene.stack.link("postgres", "open", delay_s=0.1),
        scene.stack.link("sandbox", "open", delay_s=0.02),
    ):
        observe(await scene.completed(await scene.submit(3), timeout_s=120))


@pytest.mark.parametrize(
    "last",
    [
        pytest.param(
            last,
            id=last,
            marks=fault(
                f"F{number:03d}",
                component="all",
                fault=f"services start in a random order, {label} last",
                promise="each waits for what it needs; jobs complete",
            ),
        )
        for number, (last, label) in enumerate([("nats", "NATS"), ("postgres", "PostgreSQL")], 36)
    ],
)
async def test_services_start_in_any_order(scene: Scene, observe: Observe, seed: Random, last: str) -> None:
    names = list(SERVICES)
    seed.shuffle(names)
    for name in [*names, last]:
        await scene.stack.stop(name)
    for name in names:
        await scene.stack.start(name, wait=False)
    async with httpx.AsyncClient() as http:
        for name in names:
            url = scene.stack.state["services"][name]["health_url"].replace("readyz", "healthz")
            await poll_until(lambda url=url: _answers(http, url), timeout_s=JOB_TIMEOUT_S)
    await scene.stack.start(last)
    await scene.healthy()
    observe(await scene.completed(await scene.submit(2)))


async def _answers(http: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await http.get(url)).status_code == 200
    except httpx.TransportError:
        return False
