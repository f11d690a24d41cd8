"""The last word on a job: nothing of a secret in it, and no promise that nobody keeps any more."""

from datetime import UTC, datetime
from typing import ClassVar
from uuid import uuid4

import pytest

from fluxline.contracts.errors import ErrorCategory, FluxlineError, Stage
from fluxline.contracts.events import GenerationFailed, GenerationRequested, TrainingFailed
from fluxline.runtime.bus import burial_headers
from fluxline.runtime.envelope import Received
from fluxline.runtime.handlers import generation_failed, training_failed
from fluxline.runtime.stages import StageAttempt
from streams import requested

TOKEN = "r8_" + "a1" * 18


class Away(FluxlineError):
    """The provider is away."""

    category: ClassVar[ErrorCategory] = ErrorCategory.SERVICE_ERROR
    hint = "It is tried again by itself; see https://status.example if it lasts."


def attempt_at(stage: Stage, number: int) -> StageAttempt:
    cause = requested()
    if stage is Stage.IMAGE_GENERATION:
        facts = {"generation_id": uuid4(), "owner": "ada", "parameters": {"prompt": "a harbour"}}
        return StageAttempt(stage, "generator", GenerationRequested.first("g", **facts), number)
    return StageAttempt(stage, "publisher", cause, number)


def test_an_error_that_is_tried_again_keeps_its_hint() -> None:
    assert attempt_at(Stage.HUGGINGFACE_UPLOAD, 2).retried(Away(), 1.0).hint == Away.hint


@pytest.mark.parametrize(
    ("stage", "number", "beginning"),
    [
        (Stage.HUGGINGFACE_UPLOAD, 5, "All 5 attempts failed: once the cause is mended, retry the training"),
        (Stage.HUGGINGFACE_UPLOAD, 1, "It is not tried again by itself: once the cause is mended, retry the training"),
        (Stage.IMAGE_GENERATION, 3, "All 3 attempts failed: once the cause is mended, ask for the images again"),
    ],
    ids=["several", "one", "images"],
)
def test_an_error_that_is_given_up_on_does_not_say_that_it_is_tried_again(
    stage: Stage, number: int, beginning: str
) -> None:
    hint = attempt_at(stage, number).failed(Away()).hint
    assert hint.startswith(beginning)
    assert hint.endswith("; see https://status.example if it lasts.")


def test_the_end_of_a_training_says_the_same_as_the_end_of_its_stage() -> None:
    attempt = attempt_at(Stage.HUGGINGFACE_UPLOAD, 5)
    end = training_failed(attempt, Away())
    assert isinstance(end, TrainingFailed)
    assert end.hint == attempt.failed(Away()).hint


def test_another_hint_stays_as_it_is() -> None:
    error = Away(hint="Add credit.")
    assert attempt_at(Stage.HUGGINGFACE_UPLOAD, 5).failed(error).hint == "Add credit."


def test_the_end_of_a_job_holds_no_secret() -> None:
    error = Away(f"the provider said {TOKEN}")
    ends = [
        training_failed(attempt_at(Stage.HUGGINGFACE_UPLOAD, 1), error),
        generation_failed(attempt_at(Stage.IMAGE_GENERATION, 1), error),
    ]
    for end in ends:
        assert isinstance(end, TrainingFailed | GenerationFailed)
        assert end.message == "the provider said [redacted]"


def test_a_dead_letter_holds_no_secret_in_its_reason() -> None:
    message = Received("training.succeeded", b"{}", {}, 1, 1, datetime.now(UTC))
    headers = burial_headers("publisher", message, Away(f"the provider said {TOKEN}", hint=f"use {TOKEN}"))
    assert TOKEN not in str(headers)
    assert headers["dlq-reason"] == "the provider said [redacted]"
