"""Storage that takes nothing, and objects that are gone: a retry, or a failure that says what is missing."""

import shutil

from polling import poll_until

from .conftest import Observe
from .full_folder import takes_nothing
from .rows import fault
from .scene import Scene


@fault(
    "F100",
    component="storage",
    fault="takes no new files (permission denied) while a training is asked for",
    promise="no upload pretends to have worked; the job fails with the reason and a remedy; a retry completes it",
)
async def test_a_storage_that_takes_nothing_is_a_named_failure(scene: Scene, observe: Observe) -> None:
    photo = scene.photos[0]
    with takes_nothing(scene.stack.home / "storage"):
        upload = await scene.api.post("/v1/images", files=[("files", (photo.name, photo.read_bytes() + b"\0"))])
        [training_id] = await scene.submit()
        await scene.until(training_id)
    training = await scene.failed(training_id, "zip_creation", "authentication")
    assert upload.status_code >= 400
    assert upload.json()["hint"]
    assert "STORAGE_DIR" in training["error"]["hint"]
    assert (await scene.api.post(f"/v1/trainings/{training_id}/retry")).status_code == 202
    seen = await scene.completed([training_id])
    observe(f"upload {upload.status_code}, job failed (authentication); after a retry {seen}")


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
