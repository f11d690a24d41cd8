"""An incident's life, whatever is observed: it opens once, ends once, and says no more than it may."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from hypothesis import given
from hypothesis import strategies as st

from fluxline_collector.alerts.incidents import Incident, NoticeKind, Timing, step
from fluxline_collector.alerts.observations import Observation

START = datetime(2026, 11, 25, 10, tzinfo=UTC)
FIELDS = (("stage", "huggingface_upload"),)
COUNTING = Timing(for_s=0, group_wait_s=60, resolve_after_s=900, repeat_after_s=3600, counts=True)
LASTING = Timing(for_s=120, group_wait_s=0, resolve_after_s=300, repeat_after_s=3600, counts=False)
Told = list[tuple[float, NoticeKind]]


def found(count: int, *jobs: UUID, message: str | None = None) -> Observation:
    return Observation(FIELDS, count, jobs, {message: count} if message else {})


class Life:
    """Takes one group's incident through time."""

    def __init__(self, timing: Timing) -> None:
        self.timing, self.now = timing, START
        self.incident: Incident | None = None
        self.told: Told = []
        self.ended: list[Incident] = []

    def see(self, seen: Observation | None, *, after_s: float = 15, certain: bool = True) -> "Life":
        self.now += timedelta(seconds=after_s)
        taken = step(self.timing, self.incident, seen, self.now, certain=certain)
        if taken.notice:
            self.told.append(((self.now - START).total_seconds(), taken.notice))
        is_over = taken.incident is not None and taken.incident.state == "resolved"
        if is_over and taken.incident:
            self.ended.append(taken.incident)
        self.incident = None if is_over else taken.incident
        return self

    def nothing(self, times: int, **how: float) -> "Life":
        for _ in range(times):
            self.see(None, **how)  # type: ignore[arg-type]
        return self

    @property
    def notices(self) -> list[NoticeKind]:
        return [kind for _, kind in self.told]


def test_a_hundred_failures_in_a_minute_are_one_notice_that_says_a_hundred() -> None:
    life = Life(COUNTING)
    jobs = [uuid4() for _ in range(100)]
    for number in range(4):
        some = jobs[number * 25 : number * 25 + 25]
        life.see(found(25, *some, message="No." if number else "Never."))
    life.nothing(4)
    assert life.notices == ["opened"]
    assert life.incident is not None
    assert (life.incident.count, life.incident.told, life.incident.jobs) == (100, 100, tuple(jobs[-5:]))
    assert life.incident.messages == {"No.": 75, "Never.": 25}


def test_failures_that_are_over_before_their_notice_are_told_of_all_the_same() -> None:
    assert Life(COUNTING).see(found(1)).nothing(1, after_s=7200).nothing(1).notices == ["opened", "recovered"]


def test_more_failures_are_told_of_after_the_pause_and_none_are_not() -> None:
    life = Life(COUNTING).see(found(3)).nothing(5).see(found(4)).see(found(5), after_s=600)
    assert life.notices == ["opened"]
    life.see(found(1), after_s=3000).see(found(1))
    assert life.notices == ["opened", "repeated"]
    assert life.incident is not None
    assert (life.incident.count, life.incident.told) == (14, 13)


def test_a_recovery_is_told_once_the_condition_has_been_gone_for_long_enough() -> None:
    life = Life(LASTING).see(found(5)).see(found(6), after_s=120)
    assert life.notices == ["opened"]
    life.nothing(19)
    assert life.notices == ["opened"]
    life.nothing(1)
    assert life.notices == ["opened", "recovered"]
    [ended] = life.ended
    assert (ended.count, ended.resolved_at) == (6, life.now)
    assert life.incident is None


def test_what_comes_and_goes_is_one_incident_without_notices_in_between() -> None:
    life = Life(LASTING).see(found(5)).see(found(6), after_s=120)
    for _ in range(20):
        life.see(None, after_s=60).see(found(1), after_s=60)
    assert life.notices == ["opened"]


def test_a_condition_that_does_not_last_is_nothing() -> None:
    life = Life(LASTING).see(found(5)).see(found(5), after_s=60).see(None)
    assert (life.incident, life.notices) == (None, [])
    assert life.see(found(5)).see(found(5), after_s=60).notices == []


def test_what_cannot_be_seen_neither_ends_nor_begins_anything() -> None:
    life = Life(LASTING).see(found(5)).see(found(6), after_s=120)
    life.see(None, after_s=86_400, certain=False)
    assert (life.notices, life.ended) == (["opened"], [])
    assert Life(LASTING).see(None, certain=False).incident is None
    pending = Life(LASTING).see(found(5)).see(None, certain=False).incident
    assert pending is not None
    assert pending.state == "pending"


def test_a_restart_between_two_looks_says_nothing_twice() -> None:
    """All there is of an incident is its row: a step from the same row at a later time is what a new process does."""
    life = Life(LASTING).see(found(5)).see(found(6), after_s=120)
    assert life.incident is not None
    again = step(LASTING, life.incident, found(6), life.now)
    assert (again.notice, again.incident) == (None, life.incident)


Timings = st.builds(
    Timing,
    for_s=st.sampled_from([0, 30, 300]),
    group_wait_s=st.sampled_from([0, 60]),
    resolve_after_s=st.sampled_from([60, 900]),
    repeat_after_s=st.sampled_from([60, 3600]),
    counts=st.booleans(),
)
Sights = st.lists(st.tuples(st.none() | st.integers(1, 50), st.floats(0, 2000), st.booleans()), min_size=1, max_size=60)


def lives(timing: Timing, sights: Iterable[tuple[int | None, float, bool]]) -> Life:
    life = Life(timing)
    for count, after_s, certain in sights:
        life.see(found(count) if count else None, after_s=after_s, certain=certain)
    return life


@given(Timings, Sights)
def test_openings_and_recoveries_take_turns(timing: Timing, sights: list[tuple[int | None, float, bool]]) -> None:
    notices = [kind for kind in lives(timing, sights).notices if kind != "repeated"]
    assert notices == [("opened", "recovered")[n % 2] for n in range(len(notices))]


@given(Timings, Sights)
def test_a_repetition_is_only_of_what_was_told_and_not_too_soon(
    timing: Timing, sights: list[tuple[int | None, float, bool]]
) -> None:
    told = lives(timing, sights).told
    for (before_s, before), (at_s, kind) in zip([(0.0, "recovered"), *told], told, strict=False):
        if kind == "repeated":
            assert before in ("opened", "repeated")
            assert at_s - before_s >= timing.repeat_after_s - 0.001


@given(Timings, Sights)
def test_notices_are_bounded_by_the_time_that_passes(
    timing: Timing, sights: list[tuple[int | None, float, bool]]
) -> None:
    life = lives(timing, sights)
    passed_s = sum(after_s for _, after_s, _ in sights)
    cycles = 1 + passed_s / timing.resolve_after_s
    assert len(life.told) <= 2 * cycles + passed_s / timing.repeat_after_s


@given(Timings, Sights)
def test_everything_that_is_counted_is_told_of_in_the_end(
    timing: Timing, sights: list[tuple[int | None, float, bool]]
) -> None:
    if not timing.counts:
        return
    life = lives(Timing(0, timing.group_wait_s, 900, timing.repeat_after_s, True), sights)
    life.nothing(2, after_s=7200)
    assert life.incident is None
    assert all(one.notified_at for one in life.ended)
    assert sum(one.count for one in life.ended) == sum(count or 0 for count, _, _ in sights)
