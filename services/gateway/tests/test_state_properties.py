"""The fold over whole histories: retries, cancelations, deadlines, replays; in whatever order they are delivered."""

from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from fluxline.contracts import events as e
from fluxline_gateway.trainings.fold import canceling, retried
from fluxline_gateway.trainings.state import TERMINAL, TrainingState

from .histories import ArchiveGone, Pipeline, Sequenced, deliveries, fold, pipelines

STATUSES = {"requested", "zipping", "training", "publishing", "canceling", *TERMINAL}


@given(pipelines())
def test_the_status_is_what_happened(pipeline: Pipeline) -> None:
    assert fold(pipeline.stream).status == pipeline.status


def long_story() -> tuple[Pipeline, list[str]]:
    """Everything that seldom comes together, and the status after each step."""
    job = Pipeline(UUID(int=7))
    steps = [
        *(job.start, job.succeed, job.start, job.cancel, lambda: job.fail_with(ArchiveGone()), job.retry),
        *(job.fail_late, job.start, job.succeed, job.start, job.succeed, job.start, job.hiccup, job.start),
        *(job.fail, job.replay_letter, job.cancel, job.time_out, job.retry, job.start, job.cancel, job.succeed),
    ]
    seen = []
    for step in steps:
        step()
        seen.append(fold(job.stream).status)
    return job, seen


def test_each_step_of_a_long_story_has_its_status() -> None:
    _, seen = long_story()
    assert seen == [
        *("zipping", "training", "training", "canceling", "failed", "zipping"),
        *("zipping", "zipping", "training", "training", "publishing", "publishing", "publishing", "publishing"),
        *("failed", "publishing", "canceling", "failed", "publishing", "publishing", "canceling", "completed"),
    ]


def test_an_older_run_that_gives_up_late_does_not_end_a_replayed_one() -> None:
    job = Pipeline(UUID(int=7))
    for step in (job.start, job.fail, job.retry, job.start, job.fail, job.replay_letter, job.succeed, job.fail_late):
        step()
    assert fold(job.stream).status == job.status == "training"


@given(st.data())
def test_the_long_story_in_any_order_is_the_same(data: st.DataObject) -> None:
    job, _ = long_story()
    assert fold(data.draw(deliveries(job.stream))) == fold(job.stream)


@given(pipelines(), st.data())
def test_any_order_and_any_repetition_end_in_the_same_state(pipeline: Pipeline, data: st.DataObject) -> None:
    assert fold(data.draw(deliveries(pipeline.stream))) == fold(pipeline.stream)


@given(pipelines(), st.data())
def test_what_was_lost_and_comes_again_changes_nothing_of_the_end(pipeline: Pipeline, data: st.DataObject) -> None:
    lost = data.draw(st.sets(st.sampled_from([sequence for sequence, _ in pipeline.stream])))
    state = fold([pair for pair in pipeline.stream if pair[0] not in lost])
    assert fold(data.draw(st.permutations(pipeline.stream)), state) == fold(pipeline.stream)


@given(pipelines(), st.data())
def test_at_no_moment_the_status_is_lost_or_progress_falls(pipeline: Pipeline, data: st.DataObject) -> None:
    state, progress, sequence = TrainingState(), 0.0, 0
    for pair in data.draw(deliveries(pipeline.stream)):
        state = fold([pair], state)
        assert state.status in STATUSES
        assert state.progress >= progress
        assert state.sequence >= sequence
        progress, sequence = state.progress, state.sequence
        assert TrainingState.model_validate_json(state.model_dump_json()) == state


@given(pipelines(), st.data())
def test_completed_is_for_ever_and_canceled_yields_to_it_alone(pipeline: Pipeline, data: st.DataObject) -> None:
    state, seen = TrainingState(), [""]
    for pair in data.draw(deliveries(pipeline.stream)):
        state = fold([pair], state)
        if state.status != seen[-1]:
            seen.append(state.status)
    assert "completed" not in seen[:-1]
    assert "canceled" not in seen[:-1] or seen[seen.index("canceled") + 1 :] == ["completed"]


@given(pipelines(), st.data())
def test_what_the_api_writes_first_is_what_the_event_says_later(pipeline: Pipeline, data: st.DataObject) -> None:
    """The gateway writes a wish into the state before its event has a sequence: in the end nobody can tell."""
    state = TrainingState()
    for sequence, event in pipeline.stream:
        if data.draw(st.booleans()) and isinstance(event, e.TrainingRetryRequested):
            state = retried(state, event.run, event.from_stage)
            assert state.status not in TERMINAL
        elif isinstance(event, e.TrainingCancelRequested) and event.reason != "deadline":
            state = canceling(state, event.run)
        state = fold([(sequence, event)], state)
    assert state == fold(pipeline.stream)


class Delivery(RuleBasedStateMachine):
    """A job goes its way while a projection sees its events late, twice and in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.state = TrainingState()
        self.seen: list[Sequenced] = []

    @initialize(number=st.integers(1, 2**64))
    def request(self, number: int) -> None:
        self.pipeline = Pipeline(UUID(int=number))

    @property
    def waiting(self) -> list[Sequenced]:
        return [pair for pair in self.pipeline.stream if pair not in self.seen]

    @precondition(lambda self: self.pipeline.steps())
    @rule(data=st.data())
    def something_happens(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from(self.pipeline.steps()))()

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def one_is_delivered(self, data: st.DataObject) -> None:
        self._deliver(data.draw(st.sampled_from(self.waiting)))

    @precondition(lambda self: self.seen)
    @rule(data=st.data())
    def one_is_delivered_again(self, data: st.DataObject) -> None:
        before = self.state
        self._deliver(data.draw(st.sampled_from(self.seen)))
        assert self.state == before

    @rule()
    def everything_is_delivered(self) -> None:
        for pair in self.waiting[::-1]:
            self._deliver(pair)
        assert self.state.status == self.pipeline.status

    @invariant()
    def the_state_is_that_of_what_was_seen_in_order(self) -> None:
        assert self.state == fold(sorted(self.seen, key=lambda pair: pair[0]))

    def _deliver(self, pair: Sequenced) -> None:
        self.state = fold([pair], self.state)
        if pair not in self.seen:
            self.seen.append(pair)


TestDelivery = Delivery.TestCase
TestDelivery.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
