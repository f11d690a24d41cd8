"""Storage that takes nothing, and objects that are gone: a retry, or a failure that says what is missing."""

import asyncio
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from polling import poll_until

from .conftest import Observe
from .rows import fault
from .scene import Scene

SCRATCH = ".incoming"
"""Where the storage folder takes files in; nothing can be stored while it is no folder (root ignores permissions)."""


@contextmanager
def takes_nothing(storage: Path) -> Iterator[None]:
    """The storage folder can be read, and every attempt to store something fails."""
    aside = storage.with_name("incoming-aside")
    (storage / SCRATCH).rename(aside)
    (storage / SCRATCH).touch()
    try:
        yield
    finally:
        (storage / SCRATCH).unlink()
        aside.rename(storage / SCRATCH)


@fault(
    "F100",
    component="storage",
    fault="takes no new files; a training is asked for",
    promise="the job ends with a named failure, or completes later; nothing is paid, no upload pretends to have worked",
)
async def test_a_storage_that_takes_nothing_is_a_named_failure(scene: Scene, observe: Observe) -> None:
    storage = scene.stack.home / "storage"
    with takes_nothing(storage):
        photo = scene.photos[0]
        upload = await scene.api.post("/v1/images", files=[("files", (photo.name, photo.read_bytes() + b"\0"))])
        ids = await scene.submit()
        await poll_until(lambda: "attempt.failed" in scene.stack.log("zipper"), timeout_s=20)
        await asyncio.sleep(2)
    training = await scene.until(ids[0])
    assert upload.status_code >= 400 or not upload.json()["accepted"]
    assert await scene.count("trainings") == (training["status"] == "completed")
    error = training["error"] or {"category": ""}
    assert training["status"] == "completed" or (error["message"] and error["hint"])
    observe(f"upload refused with {upload.status_code}; job {training['status']} {error['category']}".strip())


@fault(
    "F101",
    component="storage",
    fault="the archive vanishes before the trainer takes it",
    promise="a named failure; nothing is paid",
)
async def test_a_vanished_archive_is_not_paid_for(scene: Scene, observe: Observe) -> None:
    async with scene.stack.without("trainer"):
        [training_id] = await scene.submit()
        archives = scene.stack.home / "storage" / "zips" / training_id
        await scene.until(training_id, "training")
        await poll_until(archives.exists, timeout_s=20)
        shutil.rmtree(archives)
    training = await scene.failed(training_id, "replicate_training", "file_error")
    assert await scene.count("trainings") == 0
    observe(f"failed: {training['error']['category']}, 0 paid")


@fault(
    "F102",
    component="storage",
    fault="the weights vanish before the publisher takes them",
    promise="a named failure; nothing is created on the hub, no second bill",
)
async def test_vanished_weights_publish_nothing(scene: Scene, observe: Observe) -> None:
    before = (await scene.sandbox.get("/_sandbox/state")).json()["repos"]
    async with scene.stack.without("publisher"):
        [training_id] = await scene.submit()
        await scene.until(training_id, "publishing")
        shutil.rmtree(scene.stack.home / "storage" / "weights" / training_id)
    training = await scene.failed(training_id, "huggingface_upload", "file_error")
    after = (await scene.sandbox.get("/_sandbox/state")).json()["repos"]
    assert (await scene.count("trainings"), len(after)) == (1, len(before))
    observe(f"failed: {training['error']['category']}, 1 paid, no repository made")
