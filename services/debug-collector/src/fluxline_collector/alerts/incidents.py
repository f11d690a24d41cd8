"""An incident's life: pending while a rule's condition has to last, open, resolved when it has gone for a while. Pure.

There is one that is not resolved per rule and group. Each step takes what the rule has found of the group at a moment
and says what the incident is then, and which notice is due. A notice of an opening waits until `group_wait` has passed,
so that a hundred failures in a minute are one notice; a recovery is only told of what was told.
"""

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final, Literal
from uuid import UUID

from fluxline_collector.alerts.observations import MESSAGES_KEPT, SHOWN_JOBS, Fields, Observation

NoticeKind = Literal["opened", "repeated", "recovered"]
State = Literal["pending", "open", "resolved"]


@dataclass(frozen=True)
class Timing:
    """When a rule's incidents open, are told of again, and end; seconds. `counts`: its observations add up."""

    for_s: float
    group_wait_s: float
    resolve_after_s: float
    repeat_after_s: float
    counts: bool


@dataclass(frozen=True)
class Incident:
    """`since` is when the condition began to hold, `told` the count at the last notice."""

    fields: Fields
    state: State
    since: datetime
    last_seen_at: datetime
    opened_at: datetime | None = None
    notified_at: datetime | None = None
    resolved_at: datetime | None = None
    count: int = 0
    told: int = 0
    jobs: tuple[UUID, ...] = ()
    messages: dict[str, int] = field(default_factory=dict)
    figures: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """What an incident has become; None where there is none any more, or not yet. And which notice is due."""

    incident: Incident | None
    notice: NoticeKind | None = None


NOTHING: Final = Step(None)


def step(
    timing: Timing, incident: Incident | None, found: Observation | None, now: datetime, *, certain: bool = True
) -> Step:
    """The incident (None or not resolved) after `now`; without `certain`, finding nothing says nothing."""
    if found is not None:
        return _told(timing, _opened(timing, _seen(timing, incident, found, now), now), now)
    if incident is None:
        return NOTHING
    if incident.state == "pending":
        return NOTHING if certain else Step(incident)
    if certain and now - incident.last_seen_at >= timedelta(seconds=timing.resolve_after_s):
        return _resolved(timing, incident, now)
    return _told(timing, incident, now)


def _seen(timing: Timing, incident: Incident | None, found: Observation, now: datetime) -> Incident:
    known = incident or Incident(found.fields, "pending", now, now)
    messages = Counter(known.messages) + Counter(found.messages) if timing.counts else Counter(found.messages)
    jobs = (*known.jobs, *found.jobs) if timing.counts else found.jobs
    return replace(
        known,
        last_seen_at=max(now, known.last_seen_at),
        count=known.count + found.count if timing.counts else found.count,
        jobs=tuple(reversed(list(dict.fromkeys(reversed(jobs)))))[-SHOWN_JOBS:],
        messages=dict(messages.most_common(MESSAGES_KEPT)),
        figures=dict(found.figures),
    )


def _opened(timing: Timing, incident: Incident, now: datetime) -> Incident:
    if incident.state == "pending" and now - incident.since >= timedelta(seconds=timing.for_s):
        return replace(incident, state="open", opened_at=now)
    return incident


def _told(timing: Timing, incident: Incident, now: datetime) -> Step:
    """The notice that is due of an incident that goes on."""
    if incident.state != "open" or incident.opened_at is None:
        return Step(incident)
    if incident.notified_at is None:
        if not _is_to_be_told(timing, incident, now):
            return Step(incident)
        return Step(replace(incident, notified_at=now, told=incident.count), "opened")
    due = now - incident.notified_at >= timedelta(seconds=timing.repeat_after_s)
    goes_on = incident.count > incident.told if timing.counts else incident.last_seen_at == now
    if due and goes_on:
        return Step(replace(incident, notified_at=now, told=incident.count), "repeated")
    return Step(incident)


def _is_to_be_told(timing: Timing, incident: Incident, now: datetime) -> bool:
    """What has happened is always told; what has gone before it was told, never."""
    waited = incident.opened_at is not None and now - incident.opened_at >= timedelta(seconds=timing.group_wait_s)
    return waited and (timing.counts or incident.last_seen_at == now)


def _resolved(timing: Timing, incident: Incident, now: datetime) -> Step:
    if incident.notified_at is None and timing.counts:
        return _told(timing, incident, now)
    ended = replace(incident, state="resolved", resolved_at=now)
    return Step(ended, "recovered" if incident.notified_at else None)
