"""What is given up on is kept, can be looked at, replayed once its cause is mended, and dropped."""

import asyncio
import json

import pytest

from polling import poll_until

from .conftest import Observe
from .rows import fault
from .scene import Json, Scene

SETTINGS = {"PUBLISHER_RETRY_ATTEMPTS": "2", "PUBLISHER_RETRY_BASE_S": "0.2"}


async def letters(scene: Scene) -> list[Json]:
    """What `fluxline dlq list` shows."""
    done = await scene.stack.command("dlq", "list", "--json")
    assert done.returncode == 0, done.stderr
    found: list[Json] = json.loads(done.stdout)
    return found


@fault(
    "F175",
    component="dead letters",
    fault="a stage's budget is used up; its letter is replayed twice after the cause is mended",
    promise="the job completes; one bill, one commit; the second replay changes nothing",
)
async def test_a_replayed_dead_letter_completes_its_job(scene: Scene, observe: Observe) -> None:
    await scene.fault("commit", "status", provider="huggingface", code=503, times=2)
    [training_id] = await scene.submit()
    await scene.failed(training_id, "huggingface_upload", "service_error")
    [letter] = [each for each in await letters(scene) if each["training_id"] == training_id]
    assert (letter["durable"], letter["category"], letter["attempts"]) == ("publisher", "service_error", 2)
    shown = await scene.stack.command("dlq", "show", str(letter["sequence"]))
    assert training_id in shown.stdout
    first = await scene.stack.command("dlq", "replay", str(letter["sequence"]))
    assert first.returncode == 0, first.stderr
    again = await scene.stack.command("dlq", "replay", str(letter["sequence"]))
    assert "Traceback" not in again.stdout + again.stderr

    async def completed() -> bool:
        return bool((await scene.api.get(f"/v1/trainings/{training_id}")).json()["status"] == "completed")

    await poll_until(completed, timeout_s=30)
    await scene.calm()
    assert (await scene.count("trainings"), await scene.count("commits")) == (1, 1)
    observe("failed, replayed, completed; 1 paid, 1 published")


@fault(
    "F176",
    component="dead letters",
    fault="the service dies (exit) on each delivery of one message, others wait behind it",
    promise="the crash loop ends: dead letter, the job fails with a hint; the others complete",
)
@pytest.mark.timeout(600)
async def test_a_message_that_kills_its_service_is_taken_out_of_the_way(scene: Scene, observe: Observe) -> None:
    await scene.providers(training_seconds=1)
    async with scene.stack.without("publisher"):
        [victim] = await scene.submit()
        await scene.until(victim, "publishing")
    await scene.fault("commit", "hang", provider="huggingface", seconds=30, times=None)
    deliveries = 0
    async with asyncio.timeout(500):
        while (await scene.api.get(f"/v1/trainings/{victim}")).json()["status"] == "publishing":
            await scene.until_calls("commit", deliveries + 1, or_ended=victim)
            deliveries = await scene.calls("commit")
            await scene.stack.restart("publisher", crash=True)
    await scene.sandbox.delete("/_sandbox/faults")
    training = await scene.failed(victim, "huggingface_upload", "internal")
    seen = await scene.completed(await scene.submit(), paid=2)
    observe(f"failed ({training['error']['category']}) after its deliveries; then {seen}")
