"""What clients send: double clicks, other people's ids, text that wants to be a log line or a header."""

import asyncio
import json
import uuid

import httpx
import pytest

from e2e.running import job, upload

from .conftest import Observe
from .rows import fault
from .scene import Scene

CLICKS = 50


@fault(
    "F130",
    component="gateway",
    fault=f"{CLICKS} parallel requests with one Idempotency-Key",
    promise="one training, one bill; everybody is told of it",
)
async def test_a_double_click_is_one_training(scene: Scene, observe: Observe) -> None:
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    body = job(scene.images, name="Click")
    answers = await asyncio.gather(
        *(scene.api.post("/v1/trainings", json=body, headers=headers) for _ in range(CLICKS))
    )
    assert {answer.status_code for answer in answers} == {202}
    [training_id] = {answer.json()["id"] for answer in answers}
    observe(f"{CLICKS} × 202 with one id; {await scene.completed([training_id])}")


@fault(
    "F131",
    component="gateway",
    fault="kill -9 right after a request was sent; the client repeats it with its key",
    promise="exactly one training",
)
async def test_a_request_repeated_after_a_crash_is_one_training(scene: Scene, observe: Observe) -> None:
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    body = job(scene.images, name="Crash")
    sending = asyncio.create_task(scene.patient("POST", "/v1/trainings", json=body, headers=headers))
    await asyncio.sleep(0.01)
    pid = scene.stack.kill("gateway")
    await sending
    await scene.stack.back_after("gateway", pid)
    first = await scene.api.post("/v1/trainings", json=body, headers=headers)
    again = await scene.api.post("/v1/trainings", json=body, headers=headers)
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json()["id"] == again.json()["id"]
    observe(await scene.completed([first.json()["id"]]))


@fault("F132", component="gateway", fault="the same key with another body", promise="422; nothing is started")
async def test_a_key_used_for_another_body_is_refused(scene: Scene, observe: Observe) -> None:
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    first = await scene.api.post("/v1/trainings", json=job(scene.images, name="One"), headers=headers)
    second = await scene.api.post("/v1/trainings", json=job(scene.images, name="Two"), headers=headers)
    assert (first.status_code, second.status_code) == (202, 422)
    observe(f"422; {await scene.completed([first.json()['id']])}")


@fault(
    "F133",
    component="gateway",
    fault="another owner's images, trainings, models and generations",
    promise="as if they did not exist",
)
async def test_what_belongs_to_others_does_not_exist(scene: Scene, observe: Observe) -> None:
    [training_id] = await scene.submit()
    training = await scene.until(training_id)
    model_id = training["result"]["model_id"]
    made = await asyncio.to_thread(scene.stack.run, "keys", "create", "--owner", f"m{uuid.uuid4().hex[:8]}", "--json")
    async with scene.stack.client(json.loads(made.stdout)["key"]) as other:
        paths = [f"/v1/images/{scene.images[0]}", f"/v1/trainings/{training_id}", f"/v1/models/{model_id}"]
        paths += [f"/v1/images/{scene.images[0]}/content", f"/v1/models/{model_id}/weights"]
        paths += [f"/v1/trainings/{training_id}/debug", f"/v1/trainings/{training_id}/events"]
        statuses = [(await other.get(path, headers={"Accept": "application/json"})).status_code for path in paths]
        statuses.append((await other.delete(f"/v1/images/{scene.images[0]}")).status_code)
        painted = await other.post(f"/v1/models/{model_id}/generations", json={"prompt": "x"})
        mine = await upload(other, scene.photos)
        used = await other.post("/v1/trainings", json=job([*mine[1:], scene.images[0]]))
        listed = (await other.get("/v1/trainings")).json()["items"]
    assert set(statuses) == {404}
    assert (painted.status_code, used.status_code, listed) == (404, 422, [])
    assert await scene.count("trainings") == 1
    observe(f"{len(statuses) + 1} × 404, 422 for images in a training, lists empty")


INJECTIONS = {
    "a log line": 'x\n{"level": "error", "event": "hacked"}',
    "a header": "x\r\nSet-Cookie: hacked=1",
    "a terminal command": "x\x1b[2J",
    "a NUL": "x\x00y",
}


@fault(
    "F134",
    component="gateway",
    fault=f"text that wants to be something else: {', '.join(INJECTIONS)}",
    promise="refused or kept as plain text: no forged log line, no forged header",
)
async def test_text_stays_text(scene: Scene, observe: Observe) -> None:
    seen = len(scene.stack.log("gateway"))
    statuses = set()
    for text in INJECTIONS.values():
        answer = await scene.api.post("/v1/trainings", json=job(scene.images, name=text))
        statuses.add(answer.status_code)
        assert "hacked" not in answer.headers
        assert "set-cookie" not in answer.headers
        found = await scene.api.get("/v1/trainings", params={"q": text})
        assert found.status_code in (200, 422)
        assert (await scene.api.get(f"/v1/trainings/{httpx.URL(text.encode().hex()).path}")).status_code in (404, 422)
    assert statuses == {422}
    lines = [line for line in scene.stack.log("gateway")[seen:].splitlines() if line]
    assert all(json.loads(line).get("event") != "hacked" for line in lines)
    observe(f"{len(INJECTIONS)} × 422; every log line is one JSON object of ours")


@pytest.mark.parametrize(
    ("what", "size"),
    [
        pytest.param(
            "json",
            8 * 1024 * 1024,
            marks=fault(
                "F135", component="gateway", fault="a JSON body of 8 MB", promise="refused; the service stays up"
            ),
        ),
        pytest.param(
            "nested",
            200_000,
            marks=fault(
                "F136",
                component="gateway",
                fault="JSON nested 200,000 deep",
                promise="refused; the service stays up",
            ),
        ),
    ],
)
async def test_oversized_requests_are_refused(scene: Scene, observe: Observe, what: str, size: int) -> None:
    body = b'{"name": "' + b"x" * size + b'"}' if what == "json" else b"[" * size
    pid = scene.stack.pid("gateway")
    answer = await scene.api.post("/v1/trainings", content=body, headers={"content-type": "application/json"})
    assert 400 <= answer.status_code < 500, answer.text[:300]
    assert "Traceback" not in answer.text
    assert scene.stack.pid("gateway") == pid
    observe(str(answer.status_code))
