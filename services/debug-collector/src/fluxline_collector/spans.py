"""A stage's time as spans: who worked when, and why nobody did in between. Pure.

The spans of a stage lie end to end from its first start to its end, so that sums over them are the summary's figures;
before them, at most one tells how long the stage waited to begin.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from fluxline.contracts.debugging import Outcome, Span, StoredEvent, WaitReason
from fluxline_collector.attempts import ENDS, Attempt, attempts_at
from fluxline_collector.standing import PIPELINE, Standing

_BEGINS_WITH = {
    "zip_creation": "training.requested",
    "replicate_training": "zip.created",
    "huggingface_upload": "training.succeeded",
}
_PROVIDERS = {"replicate_training": "replicate", "huggingface_upload": "huggingface"}


@dataclass
class StageTime:
    """All attempts at a stage, oldest first, and its spans."""

    stage: str
    attempts: list[Attempt]
    spans: list[Span] = field(default_factory=list)

    @property
    def last(self) -> Attempt:
        """The newest attempt."""
        return self.attempts[-1]


def stage_times(events: Sequence[StoredEvent], standing: Standing, origin: datetime) -> list[StageTime]:
    """The stages that have begun, in the order of the pipeline. Offsets count from `origin`."""
    known = [event for event in events if event.problem is None]
    retries = [event for event in known if event.type == "training.retry_requested"]
    by_stage: dict[str, list[StoredEvent]] = {}
    for event in known:
        if event.stage and (event.type == "stage.started" or event.type in ENDS):
            by_stage.setdefault(event.stage, []).append(event)
    order = [stage for stage in PIPELINE if stage in by_stage] + [stage for stage in by_stage if stage not in PIPELINE]
    times = [StageTime(stage, attempts_at(stage, by_stage[stage], retries, standing)) for stage in order]
    for time in times:
        time.spans = list(_spans(time.attempts, retries, standing, origin))
        time.spans[:0] = _queue(time, known, origin)
    return times


def _spans(
    attempts: Sequence[Attempt], retries: Sequence[StoredEvent], standing: Standing, origin: datetime
) -> Iterable[Span]:
    """Work and waits, end to end: what overlaps begins where the one before ended."""
    cursor = attempts[0].started_at
    before: Attempt | None = None
    for attempt in attempts:
        began = max(attempt.worked_from or attempt.started_at, cursor)
        yield from _waits(before, attempt, cursor, began, retries, origin)
        ended_at = max(attempt.ended_at, began) if attempt.ended_at else None
        yield _span(attempt, origin, began, ended_at)
        cursor, before = ended_at or began, attempt
    last = attempts[-1]
    if last.outcome == "retried":
        over_at = max(standing.ended_at, cursor) if standing.ended_at else None
        outcome = standing.status if over_at and standing.status != "running" else None
        yield _wait(last, last.number + 1, _between(last), origin, cursor, over_at, outcome)


def _waits(
    before: Attempt | None,
    attempt: Attempt,
    since: datetime,
    until: datetime,
    retries: Sequence[StoredEvent],
    origin: datetime,
) -> Iterable[Span]:
    """Why nobody worked from `since` until the attempt did; nothing where somebody did."""
    own_start = min(max(attempt.started_at, since), until)
    if before is not None and own_start > since:
        if before.outcome == "retried" and before.run == attempt.run:
            yield _wait(attempt, attempt.number, _between(before), origin, since, own_start)
        else:
            yield from _until_wanted(attempt, since, own_start, retries, origin)
    if until > own_start:
        yield _wait(attempt, attempt.number, "cut_off" if _was_cut_off(attempt) else "queue", origin, own_start, until)


def _until_wanted(
    attempt: Attempt, since: datetime, until: datetime, retries: Sequence[StoredEvent], origin: datetime
) -> Iterable[Span]:
    """The stage had ended; then somebody wanted it again, and it may have had to wait for its turn."""
    wanted = [retry for retry in retries if since < retry.at < until]
    if not wanted:
        yield _wait(attempt, attempt.number, "owner", origin, since, until)
        return
    retry = wanted[-1]
    reason: WaitReason = "queue" if retry.facts.get("from_stage") == attempt.stage else "earlier_stage"
    yield _wait(attempt, attempt.number, "owner", origin, since, retry.at)
    yield _wait(attempt, attempt.number, reason, origin, retry.at, until)


def _queue(time: StageTime, events: Sequence[StoredEvent], origin: datetime) -> list[Span]:
    """From what made the stage possible to its first start."""
    subject = _BEGINS_WITH.get(time.stage)
    cause = next((event for event in events if event.type == subject), None)
    first = time.attempts[0]
    if cause is None or cause.at >= first.started_at:
        return []
    return [_wait(first, first.number, "queue", origin, cause.at, first.started_at)]


def _between(attempt: Attempt) -> WaitReason:
    return "rate_limit" if attempt.end and attempt.end.category == "rate_limit" else "retry"


def _was_cut_off(attempt: Attempt) -> bool:
    return attempt.outcome == "retried" and attempt.end is not None and not attempt.end.duration_ms


def _span(attempt: Attempt, origin: datetime, began: datetime, ended_at: datetime | None) -> Span:
    end = attempt.end
    return Span(
        stage=attempt.stage,
        kind="work",
        run=attempt.run,
        attempt=attempt.number,
        started_at=began,
        offset_ms=_ms(began - origin),
        duration_ms=_ms(ended_at - origin) - _ms(began - origin) if ended_at else None,
        outcome=attempt.outcome,
        category=end.category if end else None,
        provider=_PROVIDERS.get(attempt.stage),
    )


def _wait(
    attempt: Attempt,
    number: int,
    reason: WaitReason,
    origin: datetime,
    since: datetime,
    until: datetime | None,
    outcome: Outcome | None = None,
) -> Span:
    return Span(
        stage=attempt.stage,
        kind="wait",
        reason=reason,
        run=attempt.run,
        attempt=number,
        started_at=since,
        offset_ms=_ms(since - origin),
        duration_ms=_ms(until - origin) - _ms(since - origin) if until else None,
        outcome=outcome,
    )


def _ms(time: timedelta) -> int:
    return time // timedelta(milliseconds=1)
