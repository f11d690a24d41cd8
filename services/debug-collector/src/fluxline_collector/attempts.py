"""The attempts at a stage: starts and ends joined, whatever order they came in. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from fluxline.contracts.debugging import Outcome, StoredEvent
from fluxline_collector.standing import Standing

NEGLIGIBLE = timedelta(milliseconds=100)
"""Between an attempt's start as its event says it, and as its duration does."""
ENDS: dict[str, Outcome] = {"stage.succeeded": "succeeded", "stage.retried": "retried", "stage.failed": "failed"}


@dataclass
class Attempt:
    """One attempt at a stage; `end` is null while it runs, `worked_from` is when the work began by its duration."""

    stage: str
    number: int
    run: int
    started_at: datetime
    start: StoredEvent | None
    end: StoredEvent | None = None
    worked_from: datetime | None = None
    ended_at: datetime | None = None
    outcome: Outcome | None = None

    def close(self, end: StoredEvent) -> None:
        """Take the attempt's end, which says how long it worked: that is believed rather than two clocks."""
        self.end, self.outcome = end, ENDS[end.type]
        began = _began(end)
        self.worked_from = self.started_at if began - self.started_at <= NEGLIGIBLE else began
        self.ended_at = self.worked_from + timedelta(milliseconds=end.duration_ms or 0)


def attempts_at(
    stage: str, events: Sequence[StoredEvent], retries: Sequence[StoredEvent], standing: Standing
) -> list[Attempt]:
    """Starts and ends joined: an end belongs to the open attempt of its number that began when it says it began."""
    attempts: list[Attempt] = []
    for event in events:
        number, run = event.attempt or 1, sum(retry.id < event.id for retry in retries)
        if event.type == "stage.started":
            if not _adopted(event, attempts):
                attempts.append(Attempt(stage, number, run, event.at, event))
            continue
        open_ones = [attempt for attempt in attempts if attempt.end is None and attempt.number == number]
        if not open_ones:
            open_ones = [Attempt(stage, number, run, min(_began(event), event.at), None)]
            attempts += open_ones
        began = _began(event)
        min(open_ones, key=lambda attempt: abs(attempt.started_at - began)).close(event)
    attempts.sort(key=lambda attempt: (attempt.run, attempt.started_at))
    _end_open(attempts, standing)
    return attempts


def _adopted(start: StoredEvent, attempts: Iterable[Attempt]) -> bool:
    """Whether the start is that of an attempt whose end came first."""
    for attempt in attempts:
        same = attempt.start is None and attempt.number == (start.attempt or 1)
        if same and attempt.end and start.at <= attempt.end.at and abs(start.at - attempt.started_at) < timedelta(1):
            attempt.start, attempt.started_at = start, start.at
            attempt.close(attempt.end)
            return True
    return False


def _end_open(attempts: Sequence[Attempt], standing: Standing) -> None:
    """An attempt without an end of its own ended with the next one's start, or with the training."""
    for attempt, following in pairwise(attempts):
        if attempt.end is None:
            attempt.outcome, attempt.ended_at = "lost", max(following.started_at, attempt.started_at)
            attempt.worked_from = attempt.started_at
    last = attempts[-1]
    if last.end is not None:
        return
    if standing.retry and last.run < standing.run:
        last.outcome, last.ended_at = "lost", max(standing.retry.at, last.started_at)
    elif standing.ended_at and standing.status != "running":
        last.outcome, last.ended_at = standing.status, max(standing.ended_at, last.started_at)
    last.worked_from = last.started_at


def _began(end: StoredEvent) -> datetime:
    return end.at - timedelta(milliseconds=end.duration_ms or 0)
