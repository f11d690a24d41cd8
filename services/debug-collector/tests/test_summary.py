"""The summary equals what happened: whole histories in, one look out."""

import json
from collections.abc import Callable
from uuid import uuid4

import pytest

from fluxline.contracts.errors import ErrorCategory, FluxlineError
from fluxline.contracts.events import GenerationFailed, StageFailed
from fluxline_collector.summary import summarise

from .stories import (
    START,
    TRACE,
    TRAIN,
    UPLOAD,
    ZIP,
    ArchiveGone,
    HubDown,
    Story,
    Throttled,
    WrongToken,
)

UPLOADED = "Completed: Model published to https://huggingface.co/ada/x"

PAGE = "http://jaeger:16686/trace/{trace_id}"


def to_the_upload() -> Story:
    return Story().zipped().trained()


def failed_in_the_upload() -> Story:
    return to_the_upload().after(1).start(UPLOAD).fail(UPLOAD, WrongToken())


STORIES: dict[str, tuple[Callable[[], Story], str, str, str]] = {
    "requested": (Story, "running", "zip_creation", "Running: ZIP creation is about to begin."),
    "no zipper": (
        lambda: Story().after(60),
        "running",
        "zip_creation",
        "ZIP creation is due since 10:00:00 UTC and has not been begun: check that the zipper runs and is not busy with"
        " others; it goes on by itself once it is.",
    ),
    "zipping": (lambda: Story().start(ZIP), "running", "zip_creation", "Running: ZIP creation, attempt 1."),
    "zipped": (lambda: Story().zipped(), "running", "replicate_training", "Running: Training is about to begin."),
    "in the provider's queue": (
        lambda: Story().zipped().start(TRAIN).accepted().trains(0, phase="starting").after(40),
        "running",
        "replicate_training",
        "Training waits in the provider's queue since 10:00:05 UTC: it was accepted, and has not begun there.",
    ),
    "in the provider's queue for an hour": (
        lambda: Story().zipped().start(TRAIN).accepted().after(3600),
        "running",
        "replicate_training",
        "Training waits in the provider's queue since 10:00:05 UTC: it was accepted, and has not begun there."
        " Look at the provider's status page; it goes on by itself, or ends at its deadline.",
    ),
    "training": (
        lambda: Story().zipped().start(TRAIN).accepted().trains(0, phase="starting").after(9).trains(40),
        "running",
        "replicate_training",
        "Running: Training, attempt 1, at 40 % (step 400 of 1000, about 1 min 00 s left).",
    ),
    "training without a word": (
        lambda: Story().zipped().start(TRAIN).accepted().trains(40).after(700),
        "running",
        "replicate_training",
        "Running: Training, attempt 1, at 40 % (step 400 of 1000, about 1 min 00 s left). It has said nothing for"
        " 11 min 40 s: check that the trainer runs; it goes on by itself, or fails at its deadline.",
    ),
    "completed": (lambda: to_the_upload().start(UPLOAD).published(), "succeeded", "completion", UPLOADED),
    "completed after errors": (
        lambda: to_the_upload().start(UPLOAD).retry(UPLOAD, HubDown()).after(10).start(UPLOAD, 2).published(2),
        "succeeded",
        "completion",
        UPLOADED + ". 1 error on the way was overcome by trying again.",
    ),
    "completed, then told to stop": (
        lambda: to_the_upload().start(UPLOAD).published().asked_to_stop(),
        "succeeded",
        "completion",
        UPLOADED,
    ),
    "between two attempts": (
        lambda: to_the_upload().start(UPLOAD).retry(UPLOAD, HubDown()),
        "running",
        "huggingface_upload",
        "Publishing waits and is tried again at 10:01:58 UTC, after attempt 1 failed (service_error):"
        " Hugging Face does not answer. It is tried again by itself; see https://status.huggingface.co if it lasts.",
    ),
    "at a rate limit": (
        lambda: Story().zipped().start(TRAIN).retry(TRAIN, Throttled(), delay_s=32),
        "running",
        "replicate_training",
        "Training waits for the rate limit and is tried again at 10:00:38 UTC, after attempt 1 failed (rate_limit):"
        " Replicate asks to slow down. It is tried again by itself; credit below $5 lowers the limit.",
    ),
    "an attempt that nobody begins": (
        lambda: to_the_upload().start(UPLOAD).retry(UPLOAD, HubDown()).after(100),
        "running",
        "huggingface_upload",
        "Publishing is due since 10:01:58 UTC and has not been begun: check that the publisher runs and is not busy"
        " with others; it goes on by itself once it is.",
    ),
    "in its second attempt": (
        lambda: to_the_upload().start(UPLOAD).retry(UPLOAD, HubDown()).after(10).start(UPLOAD, 2),
        "running",
        "huggingface_upload",
        "Running: Publishing, attempt 2. The attempt before failed (service_error): Hugging Face does not answer.",
    ),
    "failed for good": (
        failed_in_the_upload,
        "failed",
        "huggingface_upload",
        "Publishing failed (authentication): Hugging Face refused the token. Set HUGGINGFACE_API_TOKEN.",
    ),
    "failed after all attempts": (
        lambda: to_the_upload().start(UPLOAD).retry(UPLOAD, HubDown()).start(UPLOAD, 2).fail(UPLOAD, HubDown(), 2),
        "failed",
        "huggingface_upload",
        "Publishing failed (service_error): Hugging Face does not answer. All 2 attempts failed: once the cause is"
        " mended, retry the training, which goes on from here; see https://status.huggingface.co if it lasts.",
    ),
    "failed, and has to go back": (
        lambda: Story().zipped().start(TRAIN).fail(TRAIN, ArchiveGone()),
        "failed",
        "replicate_training",
        "Training failed (file_error): The archive's link does not lead to the archive. The stored archive is gone or"
        " changed: retry the training, which makes it again from the photos. A retry begins with ZIP creation.",
    ),
    "failed at its deadline": (
        lambda: Story().zipped().start(TRAIN).accepted().after(14400).timed_out(TRAIN).asked_to_stop("deadline"),
        "failed",
        "replicate_training",
        "Training failed (timeout): replicate_training took longer than 4 h."
        " It was waiting for: provider queue. Retry the training.",
    ),
    "failed before any stage began": (
        lambda: Story().after(3600).timed_out(ZIP),
        "failed",
        "zip_creation",
        "ZIP creation failed (timeout): zip_creation took longer than 4 h."
        " It was waiting for: provider queue. Retry the training.",
    ),
    "retried by its owner": (
        lambda: failed_in_the_upload().after(60).asked_to_retry(UPLOAD),
        "running",
        "huggingface_upload",
        "Running: Publishing is about to begin.",
    ),
    "in the second run": (
        lambda: failed_in_the_upload().after(60).asked_to_retry(UPLOAD).after(1).start(UPLOAD),
        "running",
        "huggingface_upload",
        "Running: Publishing, attempt 1. The attempt before failed (authentication): Hugging Face refused the token.",
    ),
    "retried by its owner yesterday, without a publisher": (
        lambda: failed_in_the_upload().asked_to_retry(UPLOAD).after(86_400),
        "running",
        "huggingface_upload",
        "Publishing is due since 2026-11-24 10:01:49 UTC and has not been begun: check that the publisher runs and is"
        " not busy with others; it goes on by itself once it is.",
    ),
    "failed again": (
        lambda: failed_in_the_upload().after(60).asked_to_retry(UPLOAD).start(UPLOAD).fail(UPLOAD, WrongToken()),
        "failed",
        "huggingface_upload",
        "Publishing failed again (authentication): Hugging Face refused the token. Set HUGGINGFACE_API_TOKEN.",
    ),
    "its dead letter is replayed": (
        lambda: failed_in_the_upload().after(60).start(UPLOAD, replay=7),
        "running",
        "huggingface_upload",
        "Running: Publishing, attempt 1. The attempt before failed (authentication): Hugging Face refused the token.",
    ),
    "the replay failed": (
        lambda: failed_in_the_upload().after(60).start(UPLOAD, replay=7).fail(UPLOAD, WrongToken(), replay=7),
        "failed",
        "huggingface_upload",
        "Publishing failed (authentication): Hugging Face refused the token. Set HUGGINGFACE_API_TOKEN.",
    ),
    "being canceled": (
        lambda: Story().zipped().start(TRAIN).asked_to_stop().after(5),
        "running",
        "replicate_training",
        "Being canceled since 10:00:05 UTC: Training has not stopped yet.",
    ),
    "being canceled for long": (
        lambda: Story().zipped().start(TRAIN).asked_to_stop().after(900),
        "running",
        "replicate_training",
        "Being canceled since 10:00:05 UTC: Training has not stopped yet. Check that the trainer runs and reaches the"
        " provider; it stops by itself once it does.",
    ),
    "canceled": (
        lambda: Story().zipped().start(TRAIN).asked_to_stop().after(5).canceled(TRAIN),
        "canceled",
        "replicate_training",
        "Canceled by its owner, at Training.",
    ),
    "canceled between two attempts": (
        lambda: Story().zipped().start(TRAIN).retry(TRAIN, Throttled()).asked_to_stop().canceled(TRAIN),
        "canceled",
        "replicate_training",
        "Canceled by its owner, at Training.",
    ),
    "canceled to be deleted": (
        lambda: Story().zipped().asked_to_stop("deleted").canceled(TRAIN),
        "canceled",
        "replicate_training",
        "Canceled to be deleted, at Training.",
    ),
    "a message that cannot be read": (
        lambda: Story().start(ZIP).raw("zip.created", b"{"),
        "running",
        "zip_creation",
        "Running: ZIP creation, attempt 1. zip.created could not be read: The body of zip.created does not fit:"
        " Invalid JSON: EOF while parsing an object at line 1 column 1."
        " Mend its sender or receivers, then replay its dead letter with `fluxline dlq`.",
    ),
}


@pytest.mark.parametrize("name", STORIES)
def test_one_line_says_where_it_is_why_and_what_to_do(name: str) -> None:
    tell, status, stage, diagnosis = STORIES[name]
    summary = tell().summary()
    assert (summary.status, summary.current_stage) == (status, stage)
    assert summary.diagnosis == diagnosis


def test_a_training_that_went_well_is_told_as_it_went() -> None:
    summary = to_the_upload().after(1).start(UPLOAD).published().summary()
    assert [(s.stage, s.status, s.attempts, s.queued_ms, s.work_ms, s.wait_ms) for s in summary.stages] == [
        ("zip_creation", "succeeded", 1, 1000, 4000, 0),
        ("replicate_training", "succeeded", 1, 2000, 100_000, 0),
        ("huggingface_upload", "succeeded", 1, 1000, 3000, 0),
    ]
    assert (summary.requested_at, summary.duration_ms) == (START, 111_000)
    assert (summary.error_counts, summary.last_error, summary.name) == ({}, None, "Ada")
    assert summary.trace_id == TRACE
    assert summary.provider_ids == {"replicate": "r1", "huggingface": "ada/x@" + "a" * 40}
    assert summary.cost
    assert (summary.cost.amount_usd, summary.cost.basis) == (1.5, "1000 s of an H100")


def test_retries_are_counted_and_waiting_is_told_from_work() -> None:
    story = to_the_upload().start(UPLOAD)
    for attempt in (1, 2):
        story.retry(UPLOAD, HubDown(), attempt, delay_s=9).after(9).start(UPLOAD, attempt + 1)
    summary = story.published(3).summary()
    upload = summary.stages[2]
    assert (upload.attempts, upload.errors, upload.status) == (3, 2, "succeeded")
    assert (upload.work_ms, upload.wait_ms, upload.duration_ms) == (5000, 18_000, 23_000)
    assert summary.error_counts == {"service_error": 2}
    assert summary.retryable_errors == 2


def test_the_last_error_has_its_context_and_a_remedy() -> None:
    story = to_the_upload().start(UPLOAD).fail(UPLOAD, WrongToken(repository="ada/x", status=401))
    error = story.summary().last_error
    assert error
    assert (error.stage, error.category, error.retryable) == ("huggingface_upload", "authentication", False)
    assert (error.attempt, error.service) == (1, "publisher")
    assert (error.message, error.hint) == ("Hugging Face refused the token.", "Set HUGGINGFACE_API_TOKEN.")
    assert error.context == {"repository": "ada/x", "status": 401}


@pytest.mark.parametrize("category", [category.value for category in ErrorCategory])
def test_an_error_without_a_hint_gets_the_remedy_of_its_category(category: str) -> None:
    class Silent(FluxlineError):
        """It failed."""

    Silent.category = ErrorCategory(category)
    Silent.hint = ""
    error = Story().start(ZIP).fail(ZIP, Silent()).summary().last_error
    assert error
    assert len(error.hint) > 20


def test_an_end_that_its_stage_told_too_is_one_error() -> None:
    assert failed_in_the_upload().summary().error_counts == {"authentication": 1}
    assert Story().after(3600).timed_out(ZIP).summary().error_counts == {"timeout": 1}


def test_the_end_of_a_stage_that_comes_after_the_deadline_changes_nothing() -> None:
    story = Story().zipped().start(TRAIN).accepted().after(100).timed_out(TRAIN).asked_to_stop("deadline")

    class TooSlow(FluxlineError):
        """It was stopped."""

        category = ErrorCategory.TIMEOUT

    late = story.after(5)._attempt(TRAIN, 1, 105).failed(TooSlow(run=0))
    before, after = story.summary(), story.say(late).summary()
    assert before.stages[1].status == after.stages[1].status == "failed"
    assert before.error_counts == after.error_counts == {"timeout": 1}
    assert after.last_error
    assert after.last_error.message == "replicate_training took longer than 4 h"
    assert after.last_error.context == {"run": 0}


def test_an_old_runs_end_that_comes_late_is_no_end_of_the_new_run() -> None:
    story = Story().zipped().start(TRAIN).accepted().after(100).timed_out(TRAIN)
    old = story._attempt(TRAIN, 1, 130)
    story.after(20).asked_to_retry(TRAIN).after(1).start(TRAIN).after(9)
    summary = story.say(old.failed(HubDown())).summary()
    training = summary.stages[1]
    assert (summary.status, training.status, training.attempts) == ("running", "running", 2)


def test_a_stage_that_failed_before_it_began_is_among_the_stages() -> None:
    (stage,) = Story().after(3600).timed_out(ZIP).summary().stages
    assert (stage.stage, stage.status, stage.attempts, stage.errors) == ("zip_creation", "failed", 0, 1)


def test_a_deadlines_order_to_stop_is_no_cancelation_once_the_failure_is_replayed() -> None:
    story = Story().zipped().start(TRAIN).timed_out(TRAIN).asked_to_stop("deadline").start(TRAIN, replay=3)
    assert story.summary().diagnosis.startswith("Running: Training, attempt 1.")


def test_a_stage_that_was_to_be_tried_again_has_succeeded_with_its_training() -> None:
    story = to_the_upload().start(UPLOAD).retry(UPLOAD, HubDown()).published()
    story.messages.pop()
    assert story.summary().stages[2].status == "succeeded"


def test_a_message_of_a_later_version_is_nobodys_trouble() -> None:
    story = Story().start(ZIP).raw("zip.unheard_of", b"{}")
    assert story.summary().diagnosis == "Running: ZIP creation, attempt 1."


def test_a_stage_that_said_nothing_of_its_end_ends_with_the_training() -> None:
    story = Story().zipped().start(TRAIN).after(30).asked_to_stop().canceled(TRAIN)
    training = story.summary().stages[1]
    assert (training.status, training.duration_ms, training.ended_at) == ("canceled", 30_000, story.now)


def test_a_wait_for_the_next_attempt_ends_with_the_training() -> None:
    story = Story().zipped().start(TRAIN).retry(TRAIN, Throttled()).after(4).asked_to_stop().canceled(TRAIN)
    training = story.summary().stages[1]
    assert (training.status, training.work_ms, training.wait_ms) == ("canceled", 1000, 4000)
    assert training.ended_at == story.now


def test_a_retried_stage_counts_the_attempts_of_both_runs_and_ends_as_the_newest() -> None:
    story = to_the_upload().start(UPLOAD).retry(UPLOAD, HubDown(), delay_s=9).after(9)
    story.start(UPLOAD, 2).fail(UPLOAD, WrongToken(), 2)
    summary = story.after(3600).asked_to_retry(UPLOAD).start(UPLOAD).published().summary()
    upload = summary.stages[2]
    assert (summary.run, upload.attempts, upload.status) == (1, 3, "succeeded")
    assert (upload.work_ms, upload.wait_ms) == (1000 + 1000 + 3000, 9000 + 3_600_000)


def test_a_stage_that_a_retry_has_not_reached_yet_is_pending() -> None:
    story = Story().zipped().start(TRAIN).fail(TRAIN, ArchiveGone()).asked_to_retry(ZIP).after(1).start(ZIP)
    summary = story.summary()
    assert summary.current_stage == "zip_creation"
    assert [(stage.stage, stage.status) for stage in summary.stages] == [
        ("zip_creation", "running"),
        ("replicate_training", "pending"),
    ]


def test_a_run_that_is_told_of_twice_is_paid_once() -> None:
    story = to_the_upload().start(UPLOAD).fail(UPLOAD, HubDown()).asked_to_retry(TRAIN).start(TRAIN)
    cost = story.weights(worked_s=0).summary().cost
    assert cost
    assert cost.amount_usd == 1.5
    again = to_the_upload().start(UPLOAD).fail(UPLOAD, HubDown()).asked_to_retry(TRAIN).start(TRAIN)
    cost = again.weights(worked_s=0, external_id="r2").summary().cost
    assert cost
    assert cost.amount_usd == 3.0


def test_an_attempt_that_was_cut_off_waits_rather_than_works() -> None:
    story = Story().start(ZIP).after(15)
    story.say(story._attempt(ZIP, 1, 0).cut_off()).start(ZIP, 2).succeed(ZIP, 2, worked_s=4)
    stage = story.summary().stages[0]
    assert (stage.attempts, stage.work_ms, stage.wait_ms) == (2, 4000, 15_000)


def test_generations_with_the_model_are_not_the_trainings_story() -> None:
    story = to_the_upload().start(UPLOAD).published()
    before = story.summary()
    facts = {"category": "billing", "retryable": False, "message": "No credit.", "hint": "Add some.", "attempts": 1}
    generation = {"training_id": story.training_id, "generation_id": uuid4()}
    story.say(GenerationFailed.first("g", **generation, **facts))
    story.say(
        StageFailed.first(
            "g", **generation, stage="image_generation", service="generator", attempt=1, duration_ms=1,
            **{k: v for k, v in facts.items() if k != "attempts"},
        )
    )  # fmt: skip
    after = story.summary()
    assert after.model_dump() == before.model_dump()


def test_sample_images_come_after_the_end_and_move_nothing_of_it() -> None:
    ended = to_the_upload().after(1).start(UPLOAD).published()
    before = ended.summary()
    after = ended.sampled().summary()
    moved = {"events", "log"}
    assert after.model_dump(exclude=moved) == before.model_dump(exclude=moved)
    assert [line.message for line in after.log][-2:] == [
        "Sample images are ready for the model card",
        "Model card with sample images at https://huggingface.co/ada/x",
    ]
    told = [entry.type for entry in ended.timeline().entries if entry.type != "wait"]
    assert told[-2:] == ["model.card_requested", "model.card_updated"]


def test_an_unreadable_message_is_shown_and_disturbs_nothing() -> None:
    story = Story().zipped()
    body = json.dumps({"training_id": str(story.training_id), "zip_key": 7, "run": "x", "provider_ids": 3}).encode()
    for subject in ("zip.created", "training.retry_requested", "stage.failed", "training.failed", "model.published"):
        story.raw(subject, body)
    summary = story.summary()
    assert (summary.status, summary.run, summary.unreadable_events) == ("running", 0, 5)
    assert summary.log[-1].level == "warning"
    assert "could not be read" in summary.log[-1].message


def test_an_event_that_came_twice_counts_once() -> None:
    story = failed_in_the_upload()
    before = story.summary()
    story.messages += story.messages
    after = story.summary()
    assert (after.events, after.error_counts, after.stages) == (before.events, before.error_counts, before.stages)


def test_the_log_tells_progress_once_and_how_often_it_was_told() -> None:
    story = Story().zipped().start(TRAIN).accepted()
    for percent in range(100):
        story.after(1).trains(percent)
    lines = story.summary().log
    assert [(line.message, line.folded) for line in lines if line.level == "debug"] == [
        ("Processed image 5/5", 4),
        ("Training at 99 %, step 990 of 1000, loss 0.0100", 99),
    ]


def test_a_trace_can_be_looked_at_where_jaeger_is() -> None:
    story = Story()
    summary = summarise(story.training_id, story.events(), now=story.now, trace_url=PAGE)
    assert summary.trace_url == f"http://jaeger:16686/trace/{TRACE}"


def test_a_history_without_its_beginning_is_told_as_far_as_it_is_known() -> None:
    story = failed_in_the_upload()
    while len(story.messages) > 1:
        story.messages.pop(0)
        summary = story.summary()
        assert summary.status == "failed"
        assert summary.last_error


def test_an_old_runs_end_at_a_later_stage_does_not_move_the_new_run() -> None:
    story = Story().zipped().start(TRAIN).accepted().after(100).timed_out(TRAIN)
    old = story._attempt(TRAIN, 1, 130)
    story.after(20).asked_to_retry(ZIP).after(1).start(ZIP).after(9).say(old.failed(HubDown()))
    summary = story.summary()
    assert (summary.status, summary.current_stage) == ("running", "zip_creation")


def test_a_cancelation_of_an_older_run_ends_no_newer_one() -> None:
    story = failed_in_the_upload()
    late = story.asked_to_stop()
    story.asked_to_retry(UPLOAD).start(UPLOAD)
    late.run = 0
    assert late.canceled(UPLOAD).summary().status == "running"


def test_what_is_no_trace_id_makes_no_address() -> None:
    story = Story()
    events = [event.model_copy(update={"trace_id": "../../x"}) for event in story.events()]
    assert summarise(story.training_id, events, now=story.now, trace_url=PAGE).trace_url is None
