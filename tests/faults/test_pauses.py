"""Processes that stop for a while and wake up (SIGSTOP, SIGCONT), and processes that are asked to end (SIGTERM)."""

import asyncio

import pytest

from polling import poll_until

from .conftest import Observe
from .rows import fault
from .scene import Scene
from .stack import SERVICES

PAST_ACK_WAIT_S = 18
"""Longer than the 15 s after which the stream gives a message to another replica."""


@pytest.mark.parametrize(
    ("name", "moment"),
    [
        pytest.param(
            name,
            moment,
            id=name,
            marks=fault(
                f"F{number:03d}",
                component=name,
                fault="SIGSTOP past ack_wait with a second replica at hand, then SIGCONT",
                promise="the other one does the work; what the first one does on waking has no second effect",
            ),
        )
        for number, (name, moment) in enumerate(
            [("zipper", "zipping"), ("trainer", "training"), ("publisher", "publishing")], 40
        )
    ],
)
async def test_a_zombie_has_no_second_effect(scene: Scene, observe: Observe, name: str, moment: str) -> None:
    await scene.fault("commit", "latency", provider="huggingface", seconds=1)
    ids = await scene.submit()
    training = await scene.until(ids[0], moment)
    assert training["status"] == moment, "the job was faster than the pause"
    async with scene.stack.second(name):
        with scene.stack.paused(name):
            await asyncio.sleep(PAST_ACK_WAIT_S)
        observe(await scene.completed(ids))


@fault(
    "F043",
    component="trainer",
    fault="SIGSTOP between the effect of the paid call and its answer, a second replica at hand",
    promise="the job completes; one bill",
)
async def test_a_trainer_that_sleeps_over_its_answer_buys_once(scene: Scene, observe: Observe) -> None:
    await scene.fault("trainings.create", "latency", seconds=1)
    calls = await scene.calls("trainings.create")
    async with scene.stack.second("trainer"):
        ids = await scene.submit()

        async def called() -> bool:
            return await scene.calls("trainings.create") > calls

        await poll_until(called, timeout_s=20)
        with scene.stack.paused("trainer"), scene.stack.paused("trainer-2"):
            await asyncio.sleep(3)
        observe(await scene.completed(ids))


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            name,
            id=name,
            marks=fault(
                f"F{number:03d}",
                component=name,
                fault="SIGTERM and start anew while six jobs run",
                promise="it ends by itself; every job completes; one bill, one publication each",
            ),
        )
        for number, name in enumerate(SERVICES, 44)
    ],
)
async def test_a_service_drains_when_it_is_asked_to_end(scene: Scene, observe: Observe, name: str) -> None:
    ids = await scene.submit(6)
    await scene.until(ids[0], "training")
    seen = len(scene.stack.log(name))
    await scene.stack.restart(name)
    assert "service.stopped" in scene.stack.log(name)[seen:]
    observe(await scene.completed(ids))
