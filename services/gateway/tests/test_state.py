"""The state of a training: whatever the order and however often events come, the same facts end in the same state."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from hypothesis import given
from hypothesis import strategies as st

from fluxline.contracts import events as e
from fluxline.contracts.errors import ErrorCategory, FluxlineError, Stage
from fluxline.contracts.event import Event
from fluxline.runtime.handlers import training_failed
from fluxline.runtime.stages import StageAttempt
from fluxline_gateway.state import TrainingState, apply
from streams import requested

TRAINING = UUID(int=7)
START = datetime(2026, 11, 24, 10, tzinfo=UTC)
S = "0" * 64


class HubDown(FluxlineError):
    """Hugging Face does not answer."""

    category = ErrorCategory.SERVICE_ERROR
    hint = "Wait."


def at_seconds(events: list[Event]) -> list[Event]:
    return [event.model_copy(update={"occurred_at": START + timedelta(seconds=n)}) for n, event in enumerate(events)]


def stage(name: Stage, cause: Event, *errors: FluxlineError) -> list[Event]:
    events: list[Event] = []
    for number, error in enumerate(errors, start=1):
        attempt = StageAttempt(name, "test", cause, number)
        events += [attempt.started(), attempt.retried(error, 1)]
    attempt = StageAttempt(name, "test", cause, len(errors) + 1)
    return [*events, attempt.started(), attempt.succeeded()]


def progressed(cause: Event, percent: float) -> Event:
    return e.TrainingProgressed.caused_by(
        cause, discriminator=str(percent), percent=percent, step=int(percent * 10), steps=1000, loss=0.3, eta_s=60
    )


def whole_job() -> list[Event]:
    """A job with a retry while publishing, from request to model."""
    cause = requested(TRAINING)
    job = cause.job_facts()
    zipped = e.ZipCreated.caused_by(cause, **job, zip_key="z.zip", size_bytes=1, sha256=S, image_count=5)
    weights = {"weights_key": "w.tar", "sha256": S, "size_bytes": 1, "provider": "replicate", "provider_version": "v:1"}
    trained = e.TrainingSucceeded.caused_by(zipped, **job, **weights, external_id="r1", metrics={}, cost=None)
    published = e.ModelPublished.caused_by(trained, **job, **weights, model_id=UUID(int=9), huggingface=None)
    zip_progress = [
        e.ZipProgressed.caused_by(cause, discriminator=str(n), done=n, total=5, current="x", size_bytes=n)
        for n in range(1, 6)
    ]
    upload = stage(Stage.HUGGINGFACE_UPLOAD, trained, HubDown())
    return at_seconds(
        [
            cause,
            StageAttempt(Stage.ZIP_CREATION, "test", cause, 1).started(),
            *zip_progress,
            zipped,
            *stage(Stage.ZIP_CREATION, cause)[1:],
            StageAttempt(Stage.REPLICATE_TRAINING, "test", zipped, 1).started(),
            *(progressed(zipped, percent) for percent in (10.0, 40.0, 90.0)),
            trained,
            *stage(Stage.REPLICATE_TRAINING, zipped)[1:],
            *upload,
            published,
        ]
    )


JOB = list(enumerate(whole_job(), start=1))


def fold(sequenced: list[tuple[int, Event]]) -> TrainingState:
    state = TrainingState()
    for sequence, event in sequenced:
        state = apply(state, event, sequence)
    return state


def test_a_whole_job_ends_completed_with_every_stage_told() -> None:
    state = fold(JOB)
    assert (state.status, state.stage, state.progress) == ("completed", Stage.COMPLETION, 100.0)
    assert [state.status_of(name) for name in Stage if name is not Stage.IMAGE_GENERATION] == ["succeeded"] * 4
    assert state.stages[Stage.HUGGINGFACE_UPLOAD].attempts == 2
    assert state.waiting_reason is None
    assert state.error is None


def test_progress_only_grows() -> None:
    state, seen = TrainingState(), []
    for sequence, event in JOB:
        state = apply(state, event, sequence)
        seen.append(state.progress)
    assert seen == sorted(seen)
    assert seen[-1] == 100.0


def test_the_status_follows_the_pipeline() -> None:
    state, seen = TrainingState(), []
    for sequence, event in JOB:
        state = apply(state, event, sequence)
        if not seen or seen[-1] != state.status:
            seen.append(state.status)
    assert seen == ["requested", "zipping", "training", "publishing", "completed"]


@given(st.permutations(JOB), st.lists(st.sampled_from(JOB), max_size=10))
def test_any_order_with_any_repetition_ends_in_the_same_state(
    order: list[tuple[int, Event]], again: list[tuple[int, Event]]
) -> None:
    assert fold([*order, *again]) == fold(JOB)


def failed_job() -> list[tuple[int, Event]]:
    cause = requested(TRAINING)
    attempt = StageAttempt(Stage.ZIP_CREATION, "test", cause, 1)
    failed = training_failed(cause, Stage.ZIP_CREATION, HubDown("the hub is down"), 1)
    assert failed
    return list(enumerate([cause, attempt.started(), attempt.failed(HubDown()), failed], start=1))


def test_a_failure_names_its_stage_category_and_remedy() -> None:
    state = fold(failed_job())
    assert (state.status, state.stage, state.status_of(Stage.ZIP_CREATION)) == ("failed", Stage.ZIP_CREATION, "failed")
    assert state.error
    assert (state.error.category, state.error.hint) == (ErrorCategory.SERVICE_ERROR, "Wait.")


def test_a_retry_leaves_the_failure_behind_whatever_comes_first() -> None:
    cause = requested(TRAINING)
    retry = e.TrainingRetryRequested.caused_by(cause, **cause.job_facts(), from_stage=Stage.ZIP_CREATION)
    sequenced = [*failed_job(), (5, retry)]
    assert fold(sequenced).status == fold(sequenced[::-1]).status == "zipping"


def test_between_two_attempts_the_reason_for_waiting_is_told() -> None:
    cause = requested(TRAINING)
    attempt = StageAttempt(Stage.ZIP_CREATION, "test", cause, 1)
    events = [cause, attempt.started(), attempt.retried(HubDown("the hub is down"), 30)]
    state = fold(list(enumerate(events, start=1)))
    assert state.status_of(Stage.ZIP_CREATION) == "retrying"
    assert state.waiting_reason
    assert "the hub is down" in state.waiting_reason


def test_canceled_is_its_own_end() -> None:
    cause = requested(TRAINING)
    asked = e.TrainingCancelRequested.caused_by(cause)
    done = e.TrainingCanceled.caused_by(cause, stage=Stage.ZIP_CREATION)
    assert fold([(1, cause), (2, asked)]).status == "canceling"
    assert fold([(1, cause), (2, asked), (3, done)]).status == "canceled"


def test_what_was_published_stays_completed() -> None:
    late = training_failed(requested(uuid4()), Stage.HUGGINGFACE_UPLOAD, HubDown(), 1)
    assert late
    assert fold([*JOB, (99, late)]).status == "completed"
