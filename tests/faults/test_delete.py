"""A deleted training leaves nothing, and is canceled first when it still costs money."""

import httpx

from polling import poll_until

from .conftest import Observe
from .rows import fault
from .scene import Scene
from .test_cancel import stored


async def gone(scene: Scene, training_id: str) -> bool:
    answer: httpx.Response | None = await scene.patient("GET", f"/v1/trainings/{training_id}")
    return answer is not None and answer.status_code == 404


async def rows_of(scene: Scene, training_id: str) -> int:
    """What the services' tables still hold of it; the collector keeps the record."""
    sql = """
    SELECT (SELECT count(*) FROM gateway.trainings WHERE id = $1::text::uuid)
         + (SELECT count(*) FROM gateway.training_events WHERE training_id = $1::text::uuid)
         + (SELECT count(*) FROM gateway.models WHERE training_id = $1::text::uuid)
         + (SELECT count(*) FROM trainer.jobs WHERE training_id = $1::text::uuid)
    """
    return int((await scene.query(sql, training_id))[0][0])


async def nothing_left(scene: Scene, training_id: str) -> None:
    async def clean() -> bool:
        return not stored(scene, training_id) and await rows_of(scene, training_id) == 0

    await poll_until(clean, timeout_s=45, interval_s=0.2)
    await scene.calm()
    assert await rows_of(scene, training_id) == 0, "something came back"


@fault(
    "F170",
    component="delete",
    fault="of a completed training",
    promise="files, rows, the hub's repository and the provider's model are gone",
)
async def test_a_deleted_training_leaves_nothing(scene: Scene, observe: Observe) -> None:
    before = await scene.repositories()
    [training_id] = await scene.submit()
    await scene.completed([training_id])
    assert await scene.repositories() != before
    answer = await scene.api.delete(f"/v1/trainings/{training_id}")
    assert answer.status_code == 204, answer.text
    assert await gone(scene, training_id)
    await nothing_left(scene, training_id)
    await poll_until(lambda: scene.has_repositories(before), timeout_s=30)
    observe("no file, no row, no repository")


@fault(
    "F171",
    component="delete",
    fault="while the provider trains, and every service is killed (-9) after that",
    promise="gone for its owner at once; stopped at the provider; nothing left",
)
async def test_a_running_training_is_stopped_and_then_deleted(scene: Scene, observe: Observe) -> None:
    await scene.providers(training_seconds=60)
    [training_id] = await scene.submit()
    await scene.until_event(training_id, "training.started")
    answer = await scene.api.delete(f"/v1/trainings/{training_id}")
    assert answer.status_code == 202, answer.text
    assert await gone(scene, training_id)
    for name in ("trainer", "gateway", "publisher", "zipper"):
        await scene.stack.restart(name, crash=True)
    await nothing_left(scene, training_id)
    assert await scene.running_trainings() == 0
    assert (await scene.count("trainings"), await scene.count("commits")) == (1, 0)
    observe("404 at once; 1 paid and stopped, 0 published, no file, no row")


@fault(
    "F172",
    component="delete",
    fault="every event of the deleted training once more, with other message ids",
    promise="nothing comes back",
)
async def test_late_events_do_not_bring_a_deleted_training_back(scene: Scene, observe: Observe) -> None:
    from uuid import uuid4

    from .test_messages import _STORED, jetstream_of

    [training_id] = await scene.submit()
    await scene.completed([training_id])
    rows = await scene.query(_STORED, training_id)
    assert (await scene.api.delete(f"/v1/trainings/{training_id}")).status_code == 204
    await nothing_left(scene, training_id)
    paid = await scene.count("trainings")
    async with jetstream_of(scene) as jetstream:
        for row in rows:
            if row["subject"] not in ("training.requested", "zip.created", "training.succeeded"):
                await jetstream.publish(row["subject"], row["body"], headers={"Nats-Msg-Id": str(uuid4())})
    await scene.calm()
    assert await gone(scene, training_id)
    assert await rows_of(scene, training_id) == 0
    assert await scene.count("trainings") == paid
    observe(f"{len(rows)} events sent again: no row, no file")
