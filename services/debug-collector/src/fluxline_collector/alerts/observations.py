"""From what is seen of the system to what each rule has found, by group. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias, TypeVar
from uuid import UUID

from fluxline_collector.alerts.rules import (
    AnyRule,
    DeadLettersRule,
    FailureRule,
    LagRule,
    LossRule,
    RateRule,
    StuckRule,
)

SHOWN_JOBS: Final = 5
MESSAGES_KEPT: Final = 5
MESSAGE_CHARS: Final = 300
GROUPS_AT_MOST: Final = 50
"""Of one rule: what goes beyond is told as one group, named `REST`."""
REST: Final = "others"
BEHIND_S: Final = 60.0
"""A collector that is further behind than this knows what has happened, but not what has stopped happening."""

T = TypeVar("T")
Fields: TypeAlias = tuple[tuple[str, str], ...]
"""What a rule groups by, and the values of one group; sorted by name."""


@dataclass(frozen=True)
class Failure:
    """A job that has failed for good, and was not seen before."""

    job: UUID
    stage: str
    category: str
    provider: str
    message: str = ""


@dataclass(frozen=True)
class Attempts:
    """How many attempts ended within a window: those with this category, or those that succeeded (None)."""

    stage: str
    provider: str
    category: str | None
    count: int
    jobs: tuple[UUID, ...] = ()


@dataclass(frozen=True)
class Silence:
    """Running trainings at a stage that have been silent for too long, the newest few of them, and the longest."""

    stage: str
    count: int
    jobs: tuple[UUID, ...]
    longest_s: float


@dataclass(frozen=True)
class Backlog:
    """What a consumer has not taken yet, and since when the oldest of it waits."""

    durable: str
    messages: int
    age_s: float


@dataclass(frozen=True)
class Letters:
    """Dead letters of a consumer: how many lie there, and how many more than at the last look."""

    durable: str
    depth: int
    new: int


@dataclass(frozen=True)
class Seen:
    """All that rules look at. What is None could not be seen; `behind_s` is the collector's own lag, if known."""

    failures: Sequence[Failure] = ()
    attempts: Mapping[float, Sequence[Attempts]] = field(default_factory=dict)
    silences: Mapping[float | None, Sequence[Silence]] = field(default_factory=dict)
    backlogs: Sequence[Backlog] | None = None
    letters: Sequence[Letters] | None = None
    lost: int = 0
    behind_s: float | None = None

    @property
    def is_current(self) -> bool:
        """Whether the tables are as the stream is."""
        return self.behind_s is not None and self.behind_s <= BEHIND_S


@dataclass(frozen=True)
class Observation:
    """What a rule has found of one group: how much, in which jobs, with which messages and figures."""

    fields: Fields
    count: int
    jobs: tuple[UUID, ...] = ()
    messages: Mapping[str, int] = field(default_factory=dict)
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Findings:
    """The observations of a rule. Where it is not `certain`, the absence of one says nothing."""

    observations: tuple[Observation, ...] = ()
    certain: bool = True


UNKNOWN: Final = Findings(certain=False)


def observe(rule: AnyRule, seen: Seen) -> Findings:
    """What the rule has found."""
    match rule:
        case FailureRule():
            return Findings(_failures(rule, seen.failures), seen.is_current)
        case RateRule():
            return Findings(_rates(rule, seen.attempts[rule.window_s]), seen.is_current)
        case StuckRule():
            return Findings(_silences(rule, seen.silences[rule.silent_s])) if seen.is_current else UNKNOWN
        case DeadLettersRule():
            return UNKNOWN if seen.letters is None else Findings(_letters(rule, seen.letters))
        case LagRule():
            return UNKNOWN if seen.backlogs is None else Findings(_backlogs(rule, seen.backlogs))
        case LossRule():
            return Findings((Observation((), seen.lost),) if seen.lost else (), seen.is_current)


def _failures(rule: FailureRule, failures: Iterable[Failure]) -> tuple[Observation, ...]:
    wanted = [one for one in failures if _passes(rule, one.stage, one.category, one.provider)]
    return tuple(
        Observation(
            fields,
            len(group),
            tuple(one.job for one in group[-SHOWN_JOBS:]),
            Counter(one.message[:MESSAGE_CHARS] for one in group if one.message),
        )
        for fields, group in _grouped(wanted, rule.group_by)
    )


def _rates(rule: RateRule, attempts: Iterable[Attempts]) -> tuple[Observation, ...]:
    """The share is that of all attempts in the group, or of its stage and provider where it is one of a category."""
    known = list(attempts)
    wrong = [one for one in known if one.category and _passes(rule, one.stage, one.category, one.provider)]
    whole = tuple(name for name in rule.group_by if name != "category")
    of_all = [one for one in known if _passes(rule, one.stage, None, one.provider)]
    totals = {fields: sum(one.count for one in group) for fields, group in _grouped(of_all, whole, GROUPS_AT_MOST**2)}
    found = []
    for fields, group in _grouped(wrong, rule.group_by):
        count = sum(one.count for one in group)
        rest = tuple((name, value) for name, value in fields if name != "category")
        total = max(count, totals.get(rest, 0))
        if count >= rule.at_least and count >= (rule.share or 0) * total:
            jobs = tuple(dict.fromkeys(job for one in group for job in one.jobs))[:SHOWN_JOBS]
            found.append(Observation(fields, count, jobs, figures={"attempts": total}))
    return tuple(found)


def _silences(rule: StuckRule, silences: Iterable[Silence]) -> tuple[Observation, ...]:
    wanted = [one for one in silences if not rule.stage or one.stage in rule.stage]
    return tuple(
        Observation(
            fields,
            sum(one.count for one in group),
            tuple(job for one in group for job in one.jobs)[:SHOWN_JOBS],
            figures={"longest_s": max(one.longest_s for one in group)},
        )
        for fields, group in _grouped(wanted, rule.group_by)
    )


def _letters(rule: DeadLettersRule, letters: Iterable[Letters]) -> tuple[Observation, ...]:
    wanted = [one for one in letters if not rule.durable or one.durable in rule.durable]
    found = []
    for fields, group in _grouped(wanted, rule.group_by):
        depth, new = sum(one.depth for one in group), sum(one.new for one in group)
        if new if rule.growing else depth >= (rule.at_least or 1):
            found.append(Observation(fields, new if rule.growing else depth, figures={"depth": depth}))
    return tuple(found)


def _backlogs(rule: LagRule, backlogs: Iterable[Backlog]) -> tuple[Observation, ...]:
    wanted = [one for one in backlogs if not rule.durable or one.durable in rule.durable]
    found = []
    for fields, group in _grouped(wanted, rule.group_by):
        messages, age_s = sum(one.messages for one in group), max(one.age_s for one in group)
        if (rule.messages and messages >= rule.messages) or (rule.age_s and messages and age_s >= rule.age_s):
            found.append(Observation(fields, messages, figures={"age_s": age_s}))
    return tuple(found)


def _passes(rule: FailureRule | RateRule, stage: str, category: str | None, provider: str) -> bool:
    """Whether the filters let it through; without a category, that filter does not apply."""
    if rule.stage and stage not in rule.stage:
        return False
    if rule.category and category is not None and category not in rule.category:
        return False
    return not rule.provider or provider in rule.provider


def _grouped(items: Iterable[T], names: Sequence[str], most: int = GROUPS_AT_MOST) -> list[tuple[Fields, list[T]]]:
    groups: dict[Fields, list[T]] = {}
    for item in items:
        values = _values(item, sorted(set(names)))
        if values not in groups and len(groups) >= most:
            values = tuple((name, REST) for name, _ in values)
        groups.setdefault(values, []).append(item)
    return list(groups.items())


def _values(item: object, names: Sequence[str]) -> Fields:
    return tuple((name, str(getattr(item, name) or "unknown")[:60]) for name in names)
