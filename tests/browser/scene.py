"""What a studio shows once it has been used for a while: trainings that are done, failed and running, a dead letter."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import nats

from e2e.running import RunningStack, job, submit, until_status, upload
from polling import poll_until

PROMPT = "ADATOK as an astronaut, studio light"
HISTORY = {"Accept": "application/json"}


async def settle(sandbox: httpx.AsyncClient, **settings: object) -> None:
    """The sandbox goes on with these settings."""
    (await sandbox.post("/_sandbox/settings", json=settings)).raise_for_status()


async def make_scene(
    ada: httpx.AsyncClient, sandbox: httpx.AsyncClient, stack: RunningStack, photos: list[Path]
) -> dict[str, str]:
    """Ids by name: a completed `training` and its `model`, with pictures; a `failed` one; a dead letter."""
    images = await upload(ada, photos)
    await settle(sandbox, training_outcome="failed")
    failed = await submit(ada, job(images, name="Grandmother's teapot", trigger_word="TEAPOTX"))
    await until_status(ada, failed["id"], "failed")
    await settle(sandbox, training_outcome="succeeded", training_seconds=6)
    training = await submit(ada, job(images))
    await until_status(ada, training["id"], "completed")
    [model] = (await ada.get("/v1/models")).json()["items"]
    await make_pictures(ada, model["id"])
    await bury_a_message(stack)
    return {"training": training["id"], "failed": failed["id"], "model": model["id"]}


async def make_pictures(client: httpx.AsyncClient, model_id: str) -> None:
    """Two pictures, done."""
    body = {"prompt": PROMPT, "num_outputs": 2, "seed": 7}
    made = (await client.post(f"/v1/models/{model_id}/generations", json=body)).raise_for_status().json()

    async def done() -> bool:
        return bool((await client.get(f"/v1/generations/{made['id']}")).json()["status"] == "succeeded")

    await poll_until(done, timeout_s=60)


async def bury_a_message(stack: RunningStack) -> None:
    """An event that nobody can read: each of its consumers gives it up."""
    connection = await nats.connect(stack.state["nats_url"])
    try:
        headers = {"Nats-Msg-Id": str(uuid.uuid4())}
        await connection.jetstream().publish("training.requested", b'{"name": "cut off', headers=headers, timeout=5)
    finally:
        await connection.close()


@asynccontextmanager
async def running_training(
    ada: httpx.AsyncClient, sandbox: httpx.AsyncClient, photos: list[Path], losses: int
) -> AsyncIterator[str]:
    """The id of a training that has told some losses; canceled in the end."""
    await settle(sandbox, training_outcome="succeeded", training_seconds=60)
    training = await submit(ada, job(await upload(ada, photos), name="Ada in the garden"))

    async def told() -> bool:
        page = (await ada.get(f"/v1/trainings/{training['id']}/events", params={"limit": 500}, headers=HISTORY)).json()
        return sum(bool((event["data"] or {}).get("loss")) for event in page["items"]) >= losses

    try:
        await poll_until(told, timeout_s=90, interval_s=0.3)
        yield training["id"]
    finally:
        await ada.post(f"/v1/trainings/{training['id']}/cancel")
        await until_status(ada, training["id"], "canceled")
