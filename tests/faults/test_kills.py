"""kill -9 of each service, in each stage of a job: the job completes, nothing is paid or published twice."""

import pytest

from polling import poll_until

from .conftest import Observe
from .rows import fault
from .scene import Scene
from .stack import SERVICES

MOMENTS = {"zipping": "photos are bundled", "training": "the provider trains", "publishing": "the model is uploaded"}
CASES = [(victim, moment) for victim in SERVICES for moment in MOMENTS]
ROWS = [
    pytest.param(
        victim,
        moment,
        id=f"{victim}-{moment}",
        marks=fault(
            f"F{number:03d}",
            component=victim,
            fault=f"kill -9 while {MOMENTS[moment]}",
            promise="the job completes; one bill, one publication",
        ),
    )
    for number, (victim, moment) in enumerate(CASES, 1)
]


@pytest.mark.parametrize(("victim", "moment"), ROWS)
async def test_a_job_survives_the_kill_of_a_service(scene: Scene, observe: Observe, victim: str, moment: str) -> None:
    await scene.providers(training_seconds=2)
    await scene.fault("commit", "latency", provider="huggingface", seconds=1.5)
    async with scene.stack.link("nats", "open", service="zipper", delay_s=0.1 if moment == "zipping" else 0):
        [training_id] = await scene.submit()
        training = await scene.until(training_id, moment)
        assert training["status"] == moment, "the job was faster than the kill"
        pid = scene.stack.kill(victim)
    observe(await scene.completed([training_id]))
    await scene.stack.back_after(victim, pid)


@fault(
    "F019",
    component="generator",
    fault="kill -9 while the provider paints",
    promise="the images arrive; one bill",
)
async def test_a_generation_survives_the_kill_of_the_generator(scene: Scene, observe: Observe) -> None:
    [training_id] = await scene.submit()
    training = await scene.until(training_id)
    await scene.providers(generation_seconds=2)
    body = {"prompt": "a photo of ADATOK"}
    answer = await scene.api.post(f"/v1/models/{training['result']['model_id']}/generations", json=body)
    assert answer.status_code == 202, answer.text
    await poll_until(lambda: scene.count("generations"), timeout_s=10)
    pid = scene.stack.kill("generator")

    async def status() -> str | None:
        found = (await scene.api.get(f"/v1/generations/{answer.json()['id']}")).json()["status"]
        return found if found in ("succeeded", "failed") else None

    assert await poll_until(status, timeout_s=45) == "succeeded"
    assert await scene.count("generations") == 1
    observe("1 of 1 succeeded, 1 paid")
    await scene.stack.back_after("generator", pid)
