"""The state of a training: whatever the order and however often events come, the same facts end in the same state."""

from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID, uuid4

from hypothesis import given
from hypothesis import strategies as st

from fluxline.contracts import events as e
from fluxline.contracts.errors import ErrorCategory, FluxlineError, Stage
from fluxline.contracts.event import Event
from fluxline.runtime.handlers import training_failed
from fluxline.runtime.stages import StageAttempt
from fluxline_gateway.trainings import waiting
from fluxline_gateway.trainings.fold import apply
from fluxline_gateway.trainings.state import TrainingState
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
    failed = training_failed(attempt, HubDown("the hub is down"))
    assert failed
    return list(enumerate([cause, attempt.started(), attempt.failed(HubDown()), failed], start=1))


def test_a_failure_names_its_stage_category_and_remedy() -> None:
    state = fold(failed_job())
    assert (state.status, state.stage, state.status_of(Stage.ZIP_CREATION)) == ("failed", Stage.ZIP_CREATION, "failed")
    assert state.error
    assert (state.error.category, state.error.hint) == (ErrorCategory.SERVICE_ERROR, "Wait.")


def test_a_retry_leaves_the_failure_behind_whatever_comes_first() -> None:
    cause = requested(TRAINING)
    retry = e.TrainingRetryRequested.caused_by(cause, **cause.job_facts() | {"run": 1}, from_stage=Stage.ZIP_CREATION)
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
    late = training_failed(StageAttempt(Stage.HUGGINGFACE_UPLOAD, "test", requested(uuid4()), 1), HubDown())
    assert late
    assert fold([*JOB, (99, late)]).status == "completed"


def sequenced(*events: Event) -> list[tuple[int, Event]]:
    return list(enumerate(at_seconds(list(events)), start=1))


def test_an_attempt_that_was_cut_short_ends_with_the_training() -> None:
    cause = requested(TRAINING)
    attempt = StageAttempt(Stage.ZIP_CREATION, "test", cause, 1)
    timed_out = training_failed(attempt, HubDown())
    assert timed_out
    failed = fold(sequenced(cause, attempt.started(), timed_out))
    assert failed.status_of(Stage.ZIP_CREATION) == "failed"
    assert failed.ended_at(Stage.ZIP_CREATION) == START + timedelta(seconds=2)
    stopped = e.TrainingCanceled.caused_by(cause, stage=Stage.ZIP_CREATION)
    canceled = fold(sequenced(cause, attempt.started(), stopped))
    assert canceled.status_of(Stage.ZIP_CREATION) == "canceled"
    assert canceled.ended_at(Stage.ZIP_CREATION) == START + timedelta(seconds=2)


def test_a_deadline_asks_the_provider_to_stop_without_showing_a_cancelation() -> None:
    cause = requested(TRAINING)
    asked = e.TrainingCancelRequested.caused_by(cause, reason="deadline")
    assert fold(sequenced(cause, asked)).status == "requested"


def test_a_replayed_dead_letter_takes_the_failure_back_until_it_fails_again() -> None:
    cause = requested(TRAINING)
    first = StageAttempt(Stage.ZIP_CREATION, "test", cause, 1)
    again = StageAttempt(Stage.ZIP_CREATION, "test", cause, 1, replay=4)
    failed, failed_again = training_failed(first, HubDown()), training_failed(again, HubDown())
    assert failed
    assert failed_again
    story = sequenced(cause, first.started(), failed, again.started(), failed_again)
    assert [fold(story[:n]).status for n in (3, 4, 5)] == ["failed", "zipping", "failed"]


def test_a_replay_of_an_older_run_that_fails_leaves_no_training_that_looks_alive() -> None:
    cause = requested(TRAINING)
    facts = cause.job_facts() | {"run": 1}
    retry = e.TrainingRetryRequested.caused_by(cause, **facts, from_stage=Stage.ZIP_CREATION)
    of_old_run = StageAttempt(Stage.ZIP_CREATION, "test", cause, 1, replay=4)
    failures = [
        training_failed(attempt, HubDown())
        for attempt in (
            StageAttempt(Stage.ZIP_CREATION, "test", cause, 1),
            StageAttempt(Stage.ZIP_CREATION, "test", retry, 1),
            of_old_run,
        )
    ]
    story = sequenced(cause, failures[0], retry, failures[1], of_old_run.started(), failures[2])  # type: ignore[arg-type]
    assert [fold(story[:n]).status for n in (2, 3, 4, 5, 6)] == ["failed", "zipping", "failed", "zipping", "failed"]


def test_while_the_provider_has_not_begun_its_queue_is_the_reason() -> None:
    cause = requested(TRAINING)
    started = StageAttempt(Stage.REPLICATE_TRAINING, "test", cause, 1).started()
    queued = e.TrainingProgressed.caused_by(cause, discriminator="a", percent=0, phase="starting")
    running = e.TrainingProgressed.caused_by(cause, discriminator="b", percent=1, phase="training")
    state = fold(sequenced(cause, started, queued))
    assert state.phase == "starting"
    assert state.waiting_reason
    assert state.waiting_reason.startswith("provider queue: ")
    assert fold(sequenced(cause, started, queued, running)).waiting_reason is None


def test_the_reason_for_waiting_tells_a_rate_limit_from_a_retry() -> None:
    at = datetime(2026, 11, 24, 12, 30, 5, tzinfo=timezone(timedelta(hours=1)))
    said = waiting.between_attempts(ErrorCategory.RATE_LIMIT, at, "Too many requests.")
    assert said == "rate limit until 11:30:05 UTC: Too many requests."
    said = waiting.between_attempts(ErrorCategory.NETWORK, at, "Nobody answers.")
    assert said == "retry at 11:30:05 UTC: Nobody answers."


def test_when_anything_last_happened_is_known_for_the_job_and_its_stage() -> None:
    state = fold(JOB)
    assert state.last_event_at == max(event.occurred_at for _, event in JOB)
    cause = requested(TRAINING)
    started = StageAttempt(Stage.ZIP_CREATION, "test", cause, 1).started()
    asked = e.TrainingCancelRequested.caused_by(cause)
    state = fold(sequenced(cause, started, asked))
    assert (state.last_moved_at, state.last_event_at) == (START + timedelta(seconds=1), START + timedelta(seconds=2))


def test_a_state_stored_by_an_older_version_is_still_read() -> None:
    stored = '{"sequence": 4, "progress": 15.0, "reached": 2, "retry_sequence": 0, "cancel_requested": false}'
    assert TrainingState.model_validate_json(stored).progress == 15.0
