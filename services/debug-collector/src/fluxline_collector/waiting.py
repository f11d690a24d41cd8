"""What a running training waits for. Pure."""

from collections.abc import Sequence
from datetime import datetime

from fluxline.contracts.debugging import StageSummary, StoredEvent, TrainingProgress, Waiting
from fluxline_collector.standing import Standing

LOOKED_FOR_S = 5.0
"""Seconds that a stage may take to begin before it counts as waited for."""


_MAKE_DUE = ("training.requested", "zip.created", "training.succeeded", "training.retry_requested")


def waiting_for(
    events: Sequence[StoredEvent],
    standing: Standing,
    stages: Sequence[StageSummary],
    progress: TrainingProgress | None,
    now: datetime,
) -> Waiting | None:
    """None where somebody works on it, or where it has ended."""
    if standing.status != "running":
        return None
    if standing.stop:
        return Waiting(reason="canceling", since=standing.stop.at)
    stage = next((stage for stage in stages if stage.stage == standing.stage), None)
    if stage is None or stage.status == "pending":
        return _for_its_service(events, now)
    if stage.status == "retrying":
        return _for_its_next_attempt(events, standing, now)
    if standing.stage == "replicate_training":
        return _for_the_provider(events, standing, progress)
    return None


def _for_its_service(events: Sequence[StoredEvent], now: datetime) -> Waiting | None:
    since = max((event.at for event in events if event.type in _MAKE_DUE), default=events[-1].at)
    return Waiting(reason="service", since=since) if (now - since).total_seconds() > LOOKED_FOR_S else None


def _for_its_next_attempt(events: Sequence[StoredEvent], standing: Standing, now: datetime) -> Waiting:
    retried = [event for event in events if event.type == "stage.retried" and event.stage == standing.stage]
    event = next(event for event in reversed(retried) if event.problem is None)
    until = _moment(event.facts.get("next_attempt_at"))
    if until and (now - until).total_seconds() > LOOKED_FOR_S:
        return Waiting(reason="service", since=until)
    return Waiting(reason="rate_limit" if event.category == "rate_limit" else "retry", since=event.at, until=until)


def _for_the_provider(
    events: Sequence[StoredEvent], standing: Standing, progress: TrainingProgress | None
) -> Waiting | None:
    accepted = [event for event in events if event.type == "training.started" and event.id > standing.run_sequence]
    if not accepted or (progress is not None and progress.phase != "starting"):
        return None
    return Waiting(reason="provider_queue", since=accepted[-1].at)


def _moment(text: object) -> datetime | None:
    return datetime.fromisoformat(text) if isinstance(text, str) else None
