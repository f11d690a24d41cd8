"""A job that waits says why, and one that waits too long ends, at the provider too."""

import pytest

from polling import poll_until

from .conftest import Observe
from .rows import fault
from .scene import Scene

SETTINGS = {
    "GATEWAY_WATCH_S": "0.5",
    "GATEWAY_USUAL_ZIP_S": "2",
    "GATEWAY_USUAL_TRAINING_S": "2",
    "GATEWAY_USUAL_PUBLISH_S": "2",
    "GATEWAY_DEADLINE_TRAINING_S": "12",
    "GATEWAY_DEADLINE_PUBLISH_S": "12",
    "GATEWAY_DEADLINE_ZIP_S": "12",
    "GATEWAY_SILENCE_S": "15",
    "TRAINER_REQUEST_TIMEOUT_S": "2",
}


async def reason(scene: Scene, training_id: str, starts_with: str) -> str:
    """Its `waiting_reason`, once it begins so."""

    async def said() -> str | None:
        found = (await scene.api.get(f"/v1/trainings/{training_id}")).json()["waiting_reason"] or ""
        return found if found.startswith(starts_with) else None

    text = await poll_until(said, timeout_s=20, interval_s=0.1)
    assert text
    return text


@pytest.mark.parametrize(
    ("service", "status"),
    [
        pytest.param(
            service,
            status,
            id=service,
            marks=fault(
                f"F{number}",
                component="watchdog",
                fault=f"no {service} runs",
                promise="the job says `service down` and which; it completes once one runs",
            ),
        )
        for number, (service, status) in enumerate(
            [("zipper", "requested"), ("trainer", "training"), ("publisher", "publishing")], 190
        )
    ],
)
async def test_a_job_says_which_service_is_down(scene: Scene, observe: Observe, service: str, status: str) -> None:
    async with scene.stack.without(service):
        [training_id] = await scene.submit()
        await scene.until(training_id, status)
        said = await reason(scene, training_id, "service down")
    assert service in said
    seen = await scene.completed([training_id])
    assert (await scene.api.get(f"/v1/trainings/{training_id}")).json()["waiting_reason"] is None
    observe(f"“{said.partition(';')[0]}”; then {seen}")


@fault(
    "F193",
    component="watchdog",
    fault="the provider answers 429 with Retry-After",
    promise="the job says until when it waits, and waits that long",
)
async def test_a_job_says_until_when_the_provider_refuses(scene: Scene, observe: Observe) -> None:
    await scene.fault("trainings.create", "status", code=429, headers={"Retry-After": "4"}, body={"retry_after": 4})
    [training_id] = await scene.submit()
    said = await reason(scene, training_id, "rate limit until")
    assert "UTC" in said
    observe(f"“rate limit until …”; {await scene.completed([training_id])}")


@fault(
    "F194",
    component="watchdog",
    fault="the provider trains for ever",
    promise="past its deadline the job ends as `timeout`, and is stopped at the provider",
)
async def test_a_job_past_its_deadline_is_stopped_at_the_provider(scene: Scene, observe: Observe) -> None:
    await scene.providers(training_seconds=600)
    [training_id] = await scene.submit()
    training = await scene.failed(training_id, "replicate_training", "timeout")

    async def stopped() -> bool:
        return await scene.running_trainings() == 0

    await poll_until(stopped, timeout_s=20)
    assert (await scene.count("trainings"), await scene.count("commits")) == (1, 0)
    observe(f"failed ({training['error']['category']}), 1 paid and stopped")


@fault(
    "F195",
    component="watchdog",
    fault="no trainer runs until the deadline, then one comes back",
    promise="the job ends as `timeout`; the late trainer pays for nothing; a retry completes it",
)
async def test_a_late_service_does_not_pay_for_an_ended_job(scene: Scene, observe: Observe) -> None:
    async with scene.stack.without("trainer"):
        [training_id] = await scene.submit()
        training = await scene.until(training_id)
        assert (training["status"], training["error"]["category"]) == ("failed", "timeout"), training
    await scene.calm()
    assert await scene.count("trainings") == 0
    assert (await scene.api.post(f"/v1/trainings/{training_id}/retry")).status_code == 202
    observe(f"failed (timeout), 0 paid; after a retry {await scene.completed([training_id])}")
