"""Canceled at every boundary: the provider is stopped, nothing stays, and the race with success has one winner."""

import asyncio
from random import Random

import pytest

from polling import poll_until

from .conftest import Observe
from .rows import fault
from .scene import Json, Scene

CANCELED = "canceled at once; the provider's run is stopped, nothing is published, nothing temporary stays"


async def cancel(scene: Scene, training_id: str) -> Json:
    """Ask for it as an owner does."""

    async def accepted() -> Json | None:
        answer = await scene.patient("POST", f"/v1/trainings/{training_id}/cancel")
        assert answer is None or answer.status_code == 202, answer.text
        return answer.json() if answer else None

    training = await poll_until(accepted, timeout_s=30, interval_s=0.1)
    assert training
    return training


async def canceled(scene: Scene, training_id: str, *, paid: int) -> str:
    """The training has ended as canceled, and left nothing; returns what was seen."""
    training = await scene.until(training_id)
    assert training["status"] == "canceled", [event["type"] for event in await scene.events(training_id)]
    assert all(stage["status"] in ("succeeded", "canceled", "pending") for stage in training["stages"]), training
    await scene.calm()
    assert await scene.count("trainings") == paid
    assert await scene.count("commits") == 0
    await poll_until(lambda: not stored(scene, training_id), timeout_s=30)
    running = await scene.running_trainings()
    assert running == 0, f"{running} trainings still cost money"
    return f"canceled; {paid} paid and stopped, 0 published, no file left" if paid else "canceled; 0 paid, no file left"


def stored(scene: Scene, training_id: str) -> list[str]:
    """Every stored file of the training."""
    root = scene.stack.home / "storage"
    return [str(path.relative_to(root)) for path in root.rglob("*") if training_id in str(path) and path.is_file()]


@fault("F140", component="cancel", fault="before the archive is built (the zipper is away)", promise=CANCELED)
async def test_a_training_that_waits_for_its_archive_is_canceled(scene: Scene, observe: Observe) -> None:
    async with scene.stack.without("zipper"):
        [training_id] = await scene.submit()
        await cancel(scene, training_id)
        assert (await scene.until(training_id))["status"] == "canceled"
    observe(await canceled(scene, training_id, paid=0))


@fault("F141", component="cancel", fault="while the archive is being built (the zipper is paused)", promise=CANCELED)
async def test_a_late_archive_of_a_canceled_training_is_removed(scene: Scene, observe: Observe) -> None:
    [training_id] = await scene.submit()
    with scene.stack.paused("zipper"):
        await cancel(scene, training_id)
        await scene.until(training_id)
    training = await scene.until(training_id)
    if training["status"] == "completed":  # the pause came after the archive
        pytest.skip("the job was faster than the pause")
    observe(await canceled(scene, training_id, paid=await scene.count("trainings")))


@fault("F142", component="cancel", fault="before the paid call (the trainer is away)", promise=CANCELED)
async def test_an_archive_that_waits_for_the_trainer_is_not_paid_for(scene: Scene, observe: Observe) -> None:
    async with scene.stack.without("trainer"):
        [training_id] = await scene.submit()
        await scene.until(training_id, "training")
        assert (await cancel(scene, training_id))["status"] == "canceling"
    observe(await canceled(scene, training_id, paid=0))


@fault("F143", component="cancel", fault="between the paid call and its answer, which is lost", promise=CANCELED)
async def test_a_training_whose_answer_was_lost_is_found_and_stopped(scene: Scene, observe: Observe) -> None:
    await scene.providers(training_seconds=60)
    await scene.fault("trainings.create", "drop_answer")
    [training_id] = await scene.submit()
    await poll_until(lambda: _paid(scene), timeout_s=30)
    await cancel(scene, training_id)
    observe(await canceled(scene, training_id, paid=1))


@fault("F144", component="cancel", fault="while the provider trains", promise=CANCELED)
async def test_a_running_training_is_stopped_at_the_provider(scene: Scene, observe: Observe) -> None:
    await scene.providers(training_seconds=60)
    [training_id] = await scene.submit()
    await poll_until(lambda: _paid(scene), timeout_s=30)
    await scene.until_event(training_id, "training.started")
    await cancel(scene, training_id)
    seen = await canceled(scene, training_id, paid=1)
    assert await scene.count("cancels") == 1
    observe(seen)


@fault("F145", component="cancel", fault="while the trainer is killed (-9), the provider trains on", promise=CANCELED)
async def test_a_cancelation_outlives_the_trainer(scene: Scene, observe: Observe) -> None:
    await scene.providers(training_seconds=60)
    [training_id] = await scene.submit()
    await scene.until_event(training_id, "training.started")
    async with scene.stack.without("trainer", crash=True):
        await cancel(scene, training_id)
    observe(await canceled(scene, training_id, paid=1))


@fault("F146", component="cancel", fault="while the provider cannot be reached for 5 s", promise=CANCELED)
async def test_a_cancelation_waits_for_the_provider(scene: Scene, observe: Observe) -> None:
    await scene.providers(training_seconds=60)
    [training_id] = await scene.submit()
    await scene.until_event(training_id, "training.started")
    async with scene.stack.link("sandbox", "cut"):
        await cancel(scene, training_id)
        await asyncio.sleep(5)
    observe(await canceled(scene, training_id, paid=1))


@fault(
    "F147", component="cancel", fault="after the training, before publication (the publisher is away)", promise=CANCELED
)
async def test_a_trained_model_that_waits_for_publication_is_canceled(scene: Scene, observe: Observe) -> None:
    async with scene.stack.without("publisher"):
        [training_id] = await scene.submit()
        await scene.until(training_id, "publishing")
        await cancel(scene, training_id)
        await scene.until(training_id)
    observe(await canceled(scene, training_id, paid=1))


@fault("F148", component="cancel", fault="while the hub refuses commits (503) again and again", promise=CANCELED)
async def test_a_publication_that_is_being_tried_again_is_canceled(scene: Scene, observe: Observe) -> None:
    before = await scene.repositories()
    await scene.fault("commit", "status", provider="huggingface", code=503, times=None)
    [training_id] = await scene.submit()
    await scene.until_event(training_id, "stage.retried", timeout_s=30)
    await cancel(scene, training_id)
    seen = await canceled(scene, training_id, paid=1)
    await poll_until(lambda: scene.has_repositories(before), timeout_s=30)
    observe(seen)


@fault(
    "F149",
    component="cancel",
    fault="16 jobs, each canceled at a random moment of its life",
    promise="each either completes and is published, or is canceled and leaves nothing: never both, never neither",
)
async def test_the_race_with_success_has_one_winner(scene: Scene, observe: Observe, seed: Random) -> None:
    before = await scene.repositories()
    await scene.fault("commit", "latency", provider="huggingface", seconds=0.4, times=None)
    ids = await scene.submit(16)
    moments = {each: seed.uniform(0.0, 8.0) for each in ids}

    async def cancel_at(training_id: str) -> None:
        await asyncio.sleep(moments[training_id])
        await scene.patient("POST", f"/v1/trainings/{training_id}/cancel")  # too late is an answer, too

    await asyncio.gather(*(cancel_at(each) for each in ids))
    trainings = await scene.ended(ids, timeout_s=120)
    await scene.calm()
    done = [each for each in trainings if each["status"] == "completed"]
    assert {each["status"] for each in trainings} <= {"completed", "canceled"}, [each["error"] for each in trainings]
    published = {each["result"]["huggingface"]["repo"] for each in done}
    await poll_until(lambda: scene.has_repositories(before | published), timeout_s=30)
    for each in trainings:
        if each["status"] == "canceled":
            await poll_until(lambda each=each: not stored(scene, each["id"]), timeout_s=30)
    assert await scene.running_trainings() == 0
    observe("every job one or the other; repositories = completed, no file of a canceled one")


@fault(
    "F150", component="cancel", fault="20 clients at once, and again after the end", promise="one cancelation, one end"
)
async def test_a_cancelation_that_is_repeated_is_one(scene: Scene, observe: Observe) -> None:
    await scene.providers(training_seconds=60)
    [training_id] = await scene.submit()
    await scene.until_event(training_id, "training.started")
    await asyncio.gather(*(cancel(scene, training_id) for _ in range(20)))
    await canceled(scene, training_id, paid=1)
    await cancel(scene, training_id)
    subjects = [event["type"] for event in await scene.events(training_id)]
    assert subjects.count("training.cancel_requested") == subjects.count("training.canceled") == 1
    assert await scene.count("cancels") == 1
    observe("21 requests, 1 cancel_requested, 1 canceled, 1 cancel at the provider")


async def _paid(scene: Scene) -> bool:
    return await scene.count("trainings") > 0
