"""Publishing, with a hub that refuses, stalls and forgets to answer: one commit per model, or a named failure."""

from typing import Any

import pytest

from .conftest import Observe
from .rows import fault
from .scene import Scene

UPLOAD = "huggingface_upload"


def _row(number: int, id: str, what: str, operation: str, kind: str, **details: Any) -> Any:
    mark = fault(
        f"F{number:03d}", component="publisher", fault=what, promise="the model is published once; one bill, one commit"
    )
    return pytest.param({"operation": operation, "kind": kind, **details}, id=id, marks=mark)


MENDED = [
    _row(80, "500", "500 on the commit, twice", "commit", "status", code=500, times=2),
    _row(81, "429", "429 with Retry-After on the commit", "commit", "status", code=429, headers={"Retry-After": "2"}),
    _row(82, "answer-lost", "the commit takes effect, its answer is lost", "commit", "drop_answer"),
    _row(83, "late", "the commit takes effect after our own time-out", "commit", "latency", seconds=7),
    _row(84, "hang", "the commit gets no answer at all", "commit", "hang", seconds=8),
    _row(85, "upload", "the upload of the weights breaks off", "lfs.upload", "drop_request", times=2),
    _row(86, "repository", "making the repository takes effect, its answer is lost", "repos.create", "drop_answer"),
    _row(87, "look", "looking for the repository fails three times", "model_info", "status", code=503, times=3),
]


@pytest.mark.parametrize("plan", MENDED)
async def test_a_model_is_published_once(scene: Scene, observe: Observe, plan: dict[str, Any]) -> None:
    await scene.fault(provider="huggingface", **plan)
    observe(await scene.completed(await scene.submit()))


@fault(
    "F088",
    component="publisher",
    fault="the hub refuses the token",
    promise="the job fails with the reason and a remedy; nothing published, the paid weights are kept",
)
async def test_a_refused_token_keeps_the_weights(scene: Scene, observe: Observe) -> None:
    await scene.fault("repos.create", "status", provider="huggingface", code=403, times=None)
    [training_id] = await scene.submit()
    await scene.failed(training_id, UPLOAD, "authentication")
    assert (await scene.count("trainings"), await scene.count("commits")) == (1, 0)
    assert list((scene.stack.home / "storage" / "weights" / training_id).iterdir())
    observe("failed: authentication, 1 paid, 0 published, weights kept")


@fault(
    "F089",
    component="publisher",
    fault="two replicas, every answer of the commit lost",
    promise="each model is published once",
)
async def test_two_publishers_publish_each_model_once(scene: Scene, observe: Observe) -> None:
    await scene.fault("commit", "drop_answer", provider="huggingface", times=4)
    async with scene.stack.second("publisher"):
        observe(await scene.completed(await scene.submit(4)))
