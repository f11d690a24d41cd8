"""The one call that costs money, broken in every way: one bill per training, whatever happens around it."""

from typing import Any

import pytest

from polling import poll_until

from .conftest import Observe
from .rows import fault
from .scene import Scene

CREATE = "trainings.create"
TRAINING = "replicate_training"
ONE_BILL = "the job completes; one bill"


def _row(number: int, id: str, what: str, *faults: dict[str, Any], **settings: Any) -> Any:
    mark = fault(f"F{number:03d}", component="trainer", fault=what, promise=ONE_BILL)
    return pytest.param(faults, settings, id=id, marks=mark)


MENDED = [
    _row(50, "request-lost", "the paid request is lost", {"operation": CREATE, "kind": "drop_request"}),
    _row(
        51,
        "answer-lost",
        "the paid call takes effect, its answer is lost",
        {"operation": CREATE, "kind": "drop_answer"},
    ),
    _row(52, "answer-spoilt", "the answer of the paid call is unreadable", {"operation": CREATE, "kind": "corrupt"}),
    _row(53, "answer-cut", "the answer breaks off half-way", {"operation": CREATE, "kind": "corrupt", "mode": "cut"}),
    _row(54, "500", "500 before the effect", {"operation": CREATE, "kind": "status", "code": 500}),
    _row(
        55,
        "503-twice",
        "503 twice",
        {"operation": CREATE, "kind": "status", "code": 503, "times": 2},
    ),
    _row(56, "hang", "no answer at all", {"operation": CREATE, "kind": "hang", "seconds": 6}),
    _row(57, "slow", "the effect comes after our own time-out", {"operation": CREATE, "kind": "latency", "seconds": 3}),
    _row(
        58,
        "429",
        "429 with Retry-After",
        {"operation": CREATE, "kind": "status", "code": 429, "headers": {"Retry-After": "2"}},
    ),
    _row(
        59,
        "answer-lost-and-list-lags",
        "the answer is lost, and the provider's list lags",
        {"operation": CREATE, "kind": "drop_answer"},
        list_lag_seconds=2.5,
    ),
    _row(
        60,
        "answer-lost-and-list-fails",
        "the answer is lost, and the list answers 500 three times",
        {"operation": CREATE, "kind": "drop_answer"},
        {"operation": "trainings.list", "kind": "status", "code": 500, "times": 3},
    ),
    _row(
        61,
        "destination",
        "making the destination fails twice",
        {"operation": "models.create", "kind": "drop_answer", "times": 2},
    ),
    _row(
        62,
        "looks-fail",
        "six looks at the running training fail",
        {"operation": "trainings.get", "kind": "status", "code": 503, "times": 6},
    ),
    _row(
        63,
        "looks-hang",
        "a look at the running training hangs",
        {"operation": "trainings.get", "kind": "hang", "seconds": 6},
    ),
    _row(
        64,
        "one-404",
        "the provider denies the training once",
        {"operation": "trainings.get", "kind": "status", "code": 404},
    ),
    _row(
        65,
        "weights-flipped",
        "the downloaded weights are damaged once",
        {"operation": "weights.download", "kind": "corrupt"},
    ),
    _row(
        66,
        "weights-cut",
        "the download breaks off half-way",
        {"operation": "weights.download", "kind": "corrupt", "mode": "cut"},
    ),
    _row(
        67,
        "weights-half",
        "half of the weights come as if they were all",
        {"operation": "weights.download", "kind": "corrupt", "mode": "truncate"},
    ),
]


@pytest.mark.parametrize(("faults", "settings"), MENDED)
async def test_a_job_completes_for_one_bill(
    scene: Scene, observe: Observe, faults: tuple[dict[str, Any], ...], settings: dict[str, Any]
) -> None:
    await scene.providers(**settings)
    for each in faults:
        await scene.fault(**each)
    observe(await scene.completed(await scene.submit()))


@fault(
    "F068",
    component="trainer",
    fault="control: the list lags longer than the settle window",
    promise="two bills: this suite can see a second one",
)
async def test_a_settle_window_that_is_too_short_is_seen_as_a_second_bill(scene: Scene, observe: Observe) -> None:
    await scene.providers(list_lag_seconds=5)
    await scene.fault(CREATE, "drop_answer")
    async with scene.stack.with_settings("trainer", TRAINER_SETTLE_S="1"):
        observe(await scene.completed(await scene.submit(), paid=2))


def _end(number: int, code: int, category: str) -> Any:
    mark = fault(
        f"F{number:03d}",
        component="trainer",
        fault=f"{code} on the paid call",
        promise="the job fails with the reason and a remedy; no bill",
    )
    return pytest.param(code, category, id=str(code), marks=mark)


@pytest.mark.parametrize(
    ("code", "category"), [_end(69, 401, "authentication"), _end(70, 402, "billing"), _end(71, 422, "validation")]
)
async def test_a_refusal_ends_the_job_with_its_reason(scene: Scene, observe: Observe, code: int, category: str) -> None:
    await scene.fault(
        CREATE, "status", code=code, times=None, body={"title": "Refused", "detail": "no", "status": code}
    )
    [training_id] = await scene.submit()
    training = await scene.failed(training_id, TRAINING, category)
    assert await scene.count("trainings") == 0
    observe(f"failed: {category}, {'retryable' if training['error']['retryable'] else 'not retryable'}, 0 paid")


@fault(
    "F072",
    component="trainer",
    fault="the weights are damaged at every download",
    promise="the job fails with the reason; no second bill, nothing published",
)
async def test_weights_that_stay_damaged_end_the_job(scene: Scene, observe: Observe) -> None:
    await scene.fault("weights.download", "corrupt", times=None)
    [training_id] = await scene.submit()
    training = await scene.failed(training_id, TRAINING, "file_error")
    assert (await scene.count("trainings"), await scene.count("commits")) == (1, 0)
    observe(f"failed: {training['error']['category']}, 1 paid, 0 published")


@fault(
    "F073",
    component="trainer",
    fault="the provider's own training fails",
    promise="the job fails with the provider's reason; no second bill",
)
async def test_a_training_that_the_provider_fails_is_not_bought_again(scene: Scene, observe: Observe) -> None:
    await scene.providers(training_outcome="failed")
    [training_id] = await scene.submit()
    training = await scene.until(training_id)
    assert training["status"] == "failed"
    assert training["error"]["stage"] == TRAINING
    assert await scene.count("trainings") == 1
    observe("failed at replicate_training, 1 paid")


@fault(
    "F074",
    component="trainer",
    fault="the provider has forgotten a running training",
    promise="the job fails after confirmation; no second bill",
)
async def test_a_training_that_the_provider_denies_is_not_bought_again(scene: Scene, observe: Observe) -> None:
    await scene.fault("trainings.get", "status", code=404, times=None)
    [training_id] = await scene.submit()
    training = await scene.until(training_id)
    assert training["status"] == "failed"
    assert training["error"]["stage"] == TRAINING
    assert await scene.count("trainings") == 1
    observe(f"failed: {training['error']['category']}, 1 paid")


@fault(
    "F075",
    component="trainer",
    fault="kill -9 after the paid call took effect, before its answer is read",
    promise=ONE_BILL,
)
async def test_a_trainer_killed_between_effect_and_answer_buys_once(scene: Scene, observe: Observe) -> None:
    await scene.fault(CREATE, "latency", seconds=1)
    calls = await scene.calls(CREATE)
    ids = await scene.submit()
    await poll_until(lambda: _has_more(scene, calls), timeout_s=20)
    with scene.stack.paused("trainer"):
        await poll_until(lambda: scene.count("trainings"), timeout_s=10)
        pid = scene.stack.kill("trainer")
    await scene.stack.back_after("trainer", pid)
    observe(await scene.completed(ids))


@fault(
    "F076",
    component="trainer",
    fault="kill -9 while the paid call is on its way, which takes effect later",
    promise=ONE_BILL,
)
async def test_a_trainer_killed_before_the_effect_buys_once(scene: Scene, observe: Observe) -> None:
    await scene.fault(CREATE, "latency", seconds=1.5)
    calls = await scene.calls(CREATE)
    ids = await scene.submit()
    await poll_until(lambda: _has_more(scene, calls), timeout_s=20)
    pid = scene.stack.kill("trainer")
    await scene.stack.back_after("trainer", pid)
    observe(await scene.completed(ids))


@fault(
    "F077",
    component="trainer",
    fault="two replicas, every answer of the paid call lost",
    promise="the jobs complete; one bill each",
)
async def test_two_trainers_buy_each_training_once(scene: Scene, observe: Observe) -> None:
    await scene.fault(CREATE, "drop_answer", times=6)
    async with scene.stack.second("trainer"):
        observe(await scene.completed(await scene.submit(6)))


@fault(
    "F078",
    component="trainer",
    fault="the sandbox link is cut while three trainings run",
    promise="the jobs complete; one bill each",
)
async def test_a_provider_that_is_away_while_it_trains_is_waited_for(scene: Scene, observe: Observe) -> None:
    await scene.providers(training_seconds=2)
    ids = await scene.submit(3)
    for each in ids:
        await scene.until(each, "training")
    async with scene.stack.link("sandbox", "cut"):
        await poll_until(lambda: "ProviderUnreachable" in scene.stack.log("trainer") or _complains(scene), timeout_s=20)
    observe(await scene.completed(ids))


async def _has_more(scene: Scene, calls: int) -> bool:
    return await scene.calls(CREATE) > calls


def _complains(scene: Scene) -> bool:
    return "step.failed" in scene.stack.log("trainer")
