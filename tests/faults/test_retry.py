"""A failed job goes on from where it failed, with what it has: nothing is built, paid or published twice."""

import asyncio
from typing import Any

import pytest

from polling import poll_until

from .conftest import Observe
from .rows import fault
from .scene import Scene

SETTINGS = {"PUBLISHER_RETRY_ATTEMPTS": "2", "PUBLISHER_RETRY_BASE_S": "0.2", "TRAINER_RETRY_ATTEMPTS": "3"}
KEEPS = "after a retry the job completes with what it had; no second archive, bill or commit"


async def retry(scene: Scene, training_id: str) -> None:
    """Ask for it as an owner does."""
    answer = await scene.api.post(f"/v1/trainings/{training_id}/retry")
    assert answer.status_code == 202, answer.text
    assert answer.json()["status"] not in ("failed", "canceled"), answer.text


async def retried(scene: Scene, training_id: str, *, paid: int) -> str:
    """The training completes after the retry; returns what was seen."""
    await retry(scene, training_id)
    training = await scene.until(training_id)
    assert (training["status"], training["error"]) == ("completed", None), training
    await scene.calm()
    assert (await scene.count("trainings"), await scene.count("commits")) == (paid, 1)
    await poll_until(lambda: not scene.left_over([training_id]), timeout_s=30)
    return f"completed after the retry; {paid} paid, 1 published"


@pytest.mark.parametrize(
    ("plan", "failure", "paid"),
    [
        pytest.param(
            {"operation": "commit", "provider": "huggingface", "kind": "status", "code": 503, "times": 2},
            ("huggingface_upload", "service_error"),
            1,
            id="hub-down",
            marks=fault("F160", component="retry", fault="the hub was down for the whole budget", promise=KEEPS),
        ),
        pytest.param(
            {"operation": "repos.create", "provider": "huggingface", "kind": "status", "code": 403},
            ("huggingface_upload", "authentication"),
            1,
            id="hub-token",
            marks=fault("F161", component="retry", fault="the hub refused the token", promise=KEEPS),
        ),
        pytest.param(
            {"operation": "trainings.create", "kind": "status", "code": 402, "body": {"detail": "Insufficient credit"}},
            ("replicate_training", "billing"),
            1,
            id="no-credit",
            marks=fault("F162", component="retry", fault="the provider's account had no credit", promise=KEEPS),
        ),
        pytest.param(
            {"operation": "weights.download", "kind": "status", "code": 404, "times": 2},
            ("replicate_training", "file_error"),
            1,
            id="weights",
            marks=fault(
                "F163", component="retry", fault="the paid weights could not be fetched (404, confirmed)", promise=KEEPS
            ),
        ),
    ],
)
async def test_a_retry_goes_on_where_the_job_failed(
    scene: Scene, observe: Observe, plan: dict[str, Any], failure: tuple[str, str], paid: int
) -> None:
    await scene.fault(**plan)
    [training_id] = await scene.submit()
    await scene.failed(training_id, *failure)
    archives = await scene.calls("models.create")
    observe(await retried(scene, training_id, paid=paid))
    assert await scene.calls("models.create") - archives <= 1


@fault(
    "F164",
    component="retry",
    fault="the provider's training itself failed",
    promise="a retry is one more training, asked for by a person; never two",
)
async def test_a_training_that_failed_at_the_provider_is_paid_once_more_by_a_retry(
    scene: Scene, observe: Observe
) -> None:
    await scene.providers(training_outcome="failed")
    [training_id] = await scene.submit()
    await scene.failed(training_id, "replicate_training", "service_error")
    await scene.providers(training_outcome="succeeded")
    observe(await retried(scene, training_id, paid=2))


@fault(
    "F165",
    component="retry",
    fault="the archive had vanished from storage",
    promise="the retry begins at the archive by itself, and completes",
)
async def test_a_vanished_archive_is_built_again_by_a_retry(scene: Scene, observe: Observe) -> None:
    root = scene.stack.home / "storage" / "zips"
    async with scene.stack.without("trainer"):
        [training_id] = await scene.submit()
        await scene.until(training_id, "training")
        await poll_until(lambda: list((root / training_id).rglob("*.zip")), timeout_s=20)
        for archive in (root / training_id).rglob("*.zip"):
            archive.unlink()
    await scene.failed(training_id, "replicate_training", "file_error")
    observe(await retried(scene, training_id, paid=1))


@fault(
    "F166",
    component="retry",
    fault="20 clients ask for the same retry at once",
    promise="one run; one bill, one commit",
)
async def test_a_double_click_on_retry_is_one_retry(scene: Scene, observe: Observe) -> None:
    await scene.fault("commit", "status", provider="huggingface", code=403)
    [training_id] = await scene.submit()
    await scene.failed(training_id, "huggingface_upload", "authentication")
    await asyncio.gather(*(retry(scene, training_id) for _ in range(20)))
    training = await scene.until(training_id)
    assert training["status"] == "completed", training
    await scene.calm()
    subjects = [event["type"] for event in await scene.events(training_id)]
    assert subjects.count("training.retry_requested") == 1
    assert (await scene.count("trainings"), await scene.count("commits")) == (1, 1)
    observe("20 requests, 1 retry_requested, 1 paid, 1 published")


@fault(
    "F167",
    component="retry",
    fault="every service is killed (-9) right after the retry is accepted",
    promise="the retry is not lost; one bill, one publication",
)
async def test_an_accepted_retry_survives_kills(scene: Scene, observe: Observe) -> None:
    await scene.fault("commit", "status", provider="huggingface", code=403)
    [training_id] = await scene.submit()
    await scene.failed(training_id, "huggingface_upload", "authentication")
    await retry(scene, training_id)
    for name in ("publisher", "gateway", "trainer"):
        await scene.stack.restart(name, crash=True)
    training = await scene.until(training_id)
    assert (training["status"], training["error"]) == ("completed", None), training
    assert (await scene.count("trainings"), await scene.count("commits")) == (1, 1)
    observe("completed; 1 paid, 1 published")


@fault(
    "F168",
    component="retry",
    fault="asked for a job that runs, one that is completed, and somebody else's",
    promise="refused with a reason; nothing happens",
)
async def test_a_retry_that_makes_no_sense_is_refused(scene: Scene, observe: Observe) -> None:
    await scene.providers(training_seconds=3)
    [training_id] = await scene.submit()
    running = await scene.api.post(f"/v1/trainings/{training_id}/retry")
    seen = await scene.completed([training_id])
    ended = await scene.api.post(f"/v1/trainings/{training_id}/retry")
    nobody = await scene.api.post("/v1/trainings/00000000-0000-4000-8000-000000000000/retry")
    assert (running.status_code, ended.status_code, nobody.status_code) == (409, 409, 404)
    assert all(answer.json()["hint"] for answer in (running, ended, nobody))
    observe(f"409, 409, 404; {seen}")
