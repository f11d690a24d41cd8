"""A paid training is watched to its end, and only its own end ends it."""

import asyncio
import io
import json
import zipfile
from pathlib import Path

import pytest

from fluxline.contracts.errors import ErrorCategory
from fluxline.contracts.events import (
    StageFailed,
    StageRetried,
    StageStarted,
    StageSucceeded,
    TrainingFailed,
    TrainingProgressed,
    TrainingStarted,
    TrainingSucceeded,
)
from fluxline.weights import open_weights
from fluxline_trainer.job import JobState

from .bench import TRACE, Bench


async def test_a_training_runs_from_the_archive_to_weights_in_our_storage(bench: Bench, tmp_path: Path) -> None:
    bench.stand.configure(training_seconds=1.0)
    training_id = await bench.job()
    assert await bench.drive(bench.engine(), training_id) is JobState.SUCCEEDED
    told = await bench.told()
    assert isinstance(told[0], StageStarted)
    assert isinstance(told[1], TrainingStarted)
    succeeded, ended = told[-2:]
    assert isinstance(succeeded, TrainingSucceeded)
    assert isinstance(ended, StageSucceeded)
    stored = await bench.storage.get(succeeded.weights_key, tmp_path / "tar")
    assert (stored.key, stored.size_bytes) == (f"weights/{training_id}/trained_model.tar", succeeded.size_bytes)
    archive = await asyncio.to_thread(open_weights, tmp_path / "tar")
    assert archive.header.metadata["trigger_word"] == "ADATOK"
    assert len(archive.captions) == 5
    assert ended.duration_ms >= 900
    assert ended.provider_ids["replicate"] == succeeded.external_id
    assert succeeded.cost is not None
    assert succeeded.cost.amount_usd == round(succeeded.metrics["predict_time"] * 0.001525, 4)


async def test_progress_is_told_as_it_is_and_never_runs_backwards(bench: Bench) -> None:
    bench.stand.configure(training_seconds=1.5)
    training_id = await bench.job()
    await bench.drive(bench.engine(), training_id)
    progress = await bench.told_of(TrainingProgressed)
    percents = [event.percent for event in progress]
    assert percents == sorted(percents)
    assert len({event.event_id for event in progress}) == len(progress) >= 3
    seen = [event for event in progress if event.loss is not None]
    assert seen
    assert all(event.steps == 1000 and event.eta_s is not None and event.phase == "training" for event in seen)
    assert all(0 < len(event.log_tail) <= 20 for event in seen)


async def test_every_event_carries_the_trace_that_the_job_came_by(bench: Bench) -> None:
    training_id = await bench.job()
    await bench.drive(bench.engine(), training_id)
    assert set(await bench.headers()) == {TRACE["traceparent"]}


@pytest.mark.parametrize("kind", ["status", "drop_request", "drop_answer", "corrupt"])
async def test_looks_that_fail_never_end_a_training(bench: Bench, kind: str) -> None:
    training_id = await bench.job()
    engine = bench.engine()
    await bench.drive(engine, training_id, until=JobState.TRAINING)
    bench.stand.fault("trainings.get", kind, times=6)
    assert await bench.drive(engine, training_id) is JobState.SUCCEEDED
    assert len(await bench.told_of(StageRetried)) == 6
    assert len(await bench.told_of(StageStarted)) == 7
    assert bench.stand.trainings() == 1


async def test_every_stage_that_started_ended(bench: Bench) -> None:
    training_id = await bench.job()
    bench.stand.fault("models.create", "status", code=500)
    bench.stand.fault("trainings.create", "drop_answer")
    bench.stand.fault("trainings.get", "status", code=502)
    bench.stand.fault("weights.download", "status", code=503)
    await bench.drive(bench.engine(), training_id)
    started = {event.attempt for event in await bench.told_of(StageStarted)}
    ended = [event.attempt for event in await bench.told_of(StageRetried)]
    ended += [event.attempt for event in await bench.told_of(StageSucceeded)]
    assert sorted(started) == sorted(ended) == [1, 2, 3, 4, 5]


async def test_an_unknown_run_is_lost_only_when_that_is_confirmed(bench: Bench) -> None:
    training_id = await bench.job()
    engine = bench.engine()
    await bench.drive(engine, training_id, until=JobState.TRAINING)
    bench.stand.fault("trainings.get", "status", code=404, times=2)
    assert await bench.drive(engine, training_id) is JobState.SUCCEEDED
    assert await bench.told_of(StageRetried) == []


@pytest.mark.parametrize(
    ("code", "category", "hint"),
    [(404, ErrorCategory.VALIDATION, "review"), (401, ErrorCategory.AUTHENTICATION, "REPLICATE_API_TOKEN")],
)
async def test_a_confirmed_refusal_ends_the_job(bench: Bench, code: int, category: ErrorCategory, hint: str) -> None:
    training_id = await bench.job()
    engine = bench.engine()
    await bench.drive(engine, training_id, until=JobState.TRAINING)
    bench.stand.fault("trainings.get", "status", code=code, times=None)
    assert await bench.drive(engine, training_id) is JobState.FAILED
    (failed,) = await bench.told_of(TrainingFailed)
    assert (failed.category, hint in failed.hint) == (category, True)
    assert len(bench.stand.calls("trainings.get")) == 3


async def test_a_training_that_fails_at_the_provider_fails_with_its_reason_and_is_not_repeated(bench: Bench) -> None:
    bench.stand.configure(training_outcome="failed")
    training_id = await bench.job()
    assert await bench.drive(bench.engine(), training_id) is JobState.FAILED
    (failed,) = await bench.told_of(TrainingFailed)
    assert failed.category is ErrorCategory.SERVICE_ERROR
    assert "CUDA out of memory" in failed.message
    assert (len(await bench.told_of(StageFailed)), bench.stand.trainings()) == (1, 1)


async def test_a_training_that_the_content_policy_refuses_says_so(bench: Bench) -> None:
    bench.stand.configure(training_outcome="failed", training_error="NSFW content detected in input_images/2.jpg")
    training_id = await bench.job()
    assert await bench.drive(bench.engine(), training_id) is JobState.FAILED
    (failed,) = await bench.told_of(TrainingFailed)
    assert (failed.category, failed.retryable) == (ErrorCategory.CONTENT_POLICY, False)
    assert "2.jpg" in failed.message


async def test_what_looks_like_a_credential_is_neither_a_figure_nor_a_model(bench: Bench) -> None:
    token = "r8_" + "a1" * 18
    output = {"version": f"{token}/x:{'0' * 64}", "weights": "https://replicate.delivery/x.tar"}
    training_id = await bench.job()
    engine = bench.engine()
    await bench.drive(engine, training_id, until=JobState.TRAINING)
    bench.stand.fault("trainings.get", "alter", body={"status": "succeeded", "output": output})
    bench.stand.fault("trainings.get", "alter", times=None, body={"metrics": {token: 1.0, "predict_time": 2.0}})
    assert await bench.drive(engine, training_id) is JobState.SUCCEEDED
    (retried,) = await bench.told_of(StageRetried)
    (succeeded,) = await bench.told_of(TrainingSucceeded)
    assert retried.category is ErrorCategory.SERVICE_ERROR
    assert succeeded.metrics == {"predict_time": 2.0}
    assert token not in str(await bench.told())


async def test_images_that_the_trainer_cannot_read_are_the_users_to_mend(bench: Bench) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("01.jpg", b"no image at all")
    training_id = await bench.job(content.getvalue())
    assert await bench.drive(bench.engine(), training_id) is JobState.FAILED
    (failed,) = await bench.told_of(TrainingFailed)
    assert failed.category is ErrorCategory.VALIDATION
    assert "01.jpg" in failed.message


async def test_a_training_that_could_not_start_in_time_has_failed(bench: Bench) -> None:
    bench.stand.configure(training_outcome="aborted")
    training_id = await bench.job()
    assert await bench.drive(bench.engine(), training_id) is JobState.FAILED
    (failed,) = await bench.told_of(TrainingFailed)
    assert "could not start" in failed.message


async def test_a_training_canceled_by_somebody_else_has_failed(bench: Bench) -> None:
    bench.stand.configure(training_seconds=60)
    training_id = await bench.job()
    engine = bench.engine()
    await bench.drive(engine, training_id, until=JobState.TRAINING)
    await bench.api().cancel(str((await bench.row(training_id)).provider_id))
    assert await bench.drive(engine, training_id) is JobState.FAILED
    (failed,) = await bench.told_of(TrainingFailed)
    assert "canceled at Replicate" in failed.message


async def test_a_training_that_never_ends_is_canceled_at_its_deadline(bench: Bench) -> None:
    bench.stand.configure(training_seconds=600)
    training_id = await bench.job()
    bench.stand.fault("trainings.cancel", "status", code=500)
    assert await bench.drive(bench.engine(deadline_s=0.5), training_id) is JobState.FAILED
    (failed,) = await bench.told_of(TrainingFailed)
    assert failed.category is ErrorCategory.TIMEOUT
    assert bench.stand.state()["cancels"] == 1


async def test_damaged_weights_are_fetched_once_more(bench: Bench) -> None:
    training_id = await bench.job()
    bench.stand.fault("weights.download", "corrupt", mode="flip")
    assert await bench.drive(bench.engine(), training_id) is JobState.SUCCEEDED
    assert len(bench.stand.calls("weights.download")) == 2


async def test_weights_that_stay_damaged_are_never_announced(bench: Bench) -> None:
    training_id = await bench.job()
    bench.stand.fault("weights.download", "corrupt", mode="flip", times=None)
    assert await bench.drive(bench.engine(), training_id) is JobState.FAILED
    (failed,) = await bench.told_of(TrainingFailed)
    assert failed.category is ErrorCategory.FILE_ERROR
    assert await bench.told_of(TrainingSucceeded) == []
    assert await bench.storage.stat(f"weights/{training_id}/trained_model.tar") is None


@pytest.mark.parametrize("fault", [{"kind": "corrupt", "mode": "cut"}, {"kind": "drop_answer"}])
async def test_a_download_that_breaks_off_is_tried_again(bench: Bench, fault: dict[str, str]) -> None:
    training_id = await bench.job()
    bench.stand.fault("weights.download", times=3, **fault)
    assert await bench.drive(bench.engine(), training_id) is JobState.SUCCEEDED
    assert {event.category for event in await bench.told_of(StageRetried)} == {ErrorCategory.NETWORK}


async def test_nothing_told_holds_a_secret(bench: Bench) -> None:
    training_id = await bench.job()
    await bench.drive(bench.engine(), training_id)
    everything = json.dumps([event.model_dump(mode="json") for event in await bench.told()])
    assert bench.stand.token not in everything
    assert "signature=" not in everything
