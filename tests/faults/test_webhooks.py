"""The provider's webhook is a hint: missing, repeated, forged or late, it changes nothing but the time."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks import Webhook

from .conftest import Observe
from .rows import fault
from .scene import Scene


def _secret(scene: Scene) -> str:
    credentials = json.loads((scene.stack.home / "credentials.json").read_text())
    return str(credentials["webhook_secret"])


async def _send(scene: Scene, body: str, *, secret: str, at: datetime, id: str = "msg_1") -> int:
    headers = {
        "webhook-id": id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign(id, at, body),
    }
    answer = await scene.api.post("/v1/webhooks/replicate", content=body, headers=headers)
    assert "Traceback" not in answer.text
    return answer.status_code


async def _external_id(scene: Scene, training_id: str) -> str:
    sql = "SELECT provider_id FROM trainer.jobs WHERE training_id = $1::text::uuid"
    return str((await scene.query(sql, training_id))[0]["provider_id"])


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(
            kind,
            id=kind,
            marks=fault(
                f"F{number:03d}",
                component="webhook",
                fault=what,
                promise="polling ends the job; one bill, one publication",
            ),
        )
        for number, kind, what in [
            (110, "drop_request", "never sent"),
            (111, "corrupt", "every one has a wrong signature"),
            (112, "drop_answer", "every answer is lost, so it is repeated"),
        ]
    ],
)
async def test_a_job_needs_no_webhook(scene: Scene, observe: Observe, kind: str) -> None:
    await scene.fault("webhook", kind, times=None)
    observe(await scene.completed(await scene.submit()))


@fault(
    "F113",
    component="webhook",
    fault="the same genuine one ×10 during, and ×10 after the job",
    promise="taken each time, without a second effect",
)
async def test_repeated_webhooks_have_one_effect(scene: Scene, observe: Observe) -> None:
    await scene.providers(training_seconds=2)
    [training_id] = await scene.submit()
    await scene.until(training_id, "training")
    [provider_id] = [await _external_id(scene, training_id)]
    body = json.dumps({"id": provider_id, "status": "succeeded"})
    now = datetime.now(UTC)
    statuses = {await _send(scene, body, secret=_secret(scene), at=now) for _ in range(10)}
    seen = await scene.completed([training_id])
    statuses |= {await _send(scene, body, secret=_secret(scene), at=now) for _ in range(10)}
    assert statuses == {200}
    assert await scene.completed([training_id])
    observe(seen)


@fault(
    "F114",
    component="webhook",
    fault="forged, unsigned, changed, ten minutes old, about nobody",
    promise="401 for what is not proven; nothing happens",
)
async def test_unproven_webhooks_are_refused(scene: Scene, observe: Observe) -> None:
    body = json.dumps({"id": "nobody", "status": "succeeded"})
    now, secret = datetime.now(UTC), _secret(scene)
    other = "whsec_" + "QUJD" * 11
    assert await _send(scene, body, secret=other, at=now) == 401
    assert await _send(scene, body, secret=secret, at=now - timedelta(minutes=10)) == 401
    assert await _send(scene, body, secret=secret, at=now + timedelta(minutes=10)) == 401
    assert (await scene.api.post("/v1/webhooks/replicate", content=body)).status_code == 401
    assert await _send(scene, body, secret=secret, at=now) == 200
    assert await _send(scene, "[]", secret=secret, at=now) == 422
    assert await scene.count("trainings") == 0
    observe("4 × 401; a genuine one about nobody is taken and has no effect")
