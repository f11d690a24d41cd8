"""Where a training stands, from its events in stream order. Pure; it agrees with the gateway's own state machine.

A completed training stays so whatever is told later; canceled wins over failed; what was told of an older run is
history. A failure no longer stands once somebody replays its dead letter.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from fluxline.contracts.debugging import JobStatus, StoredEvent

PIPELINE = ("zip_creation", "replicate_training", "huggingface_upload")
SKEW = timedelta(seconds=2)
"""By how much the clocks of two services may differ."""
_NEXT_AFTER = {"zip.created": "replicate_training", "training.succeeded": "huggingface_upload"}


@dataclass(frozen=True)
class Standing:
    """`retry` began the current run; `end` is what ended the training, `stop` the wish to stop that is not over."""

    status: JobStatus
    run: int
    stage: str
    retry: StoredEvent | None = None
    end: StoredEvent | None = None
    stop: StoredEvent | None = None

    @property
    def ended_at(self) -> datetime | None:
        """When the training ended, if it has."""
        return self.end.at if self.end else None

    @property
    def run_sequence(self) -> int:
        """Events up to this sequence belong to earlier runs, unless they say otherwise."""
        return self.retry.id if self.retry else 0


def standing_of(events: Sequence[StoredEvent]) -> Standing:
    """Where the training stands. Unreadable events tell nothing."""
    known = [event for event in events if event.problem is None]
    retry = max(_of_type(known, "training.retry_requested"), key=lambda event: (run_of(event), event.id), default=None)
    run = run_of(retry) if retry else 0
    canceled = [event for event in _of_type(known, "training.canceled") if run_of(event) >= run]
    stops = [event for event in _of_type(known, "training.cancel_requested") if run_of(event) >= run]
    wishes = [event for event in stops if event.facts.get("reason") != "deadline"]  # a deadline is told as a failure
    failure = _failure(known, run, retry)
    status: JobStatus = "running"
    end: StoredEvent | None = None
    if published := _of_type(known, "model.published"):
        status, end = "succeeded", published[0]
    elif canceled:
        status, end = "canceled", canceled[0]
    elif failure:
        status, end = "failed", failure
    stage = _stage(status, end, known, retry)
    return Standing(status, run, stage, retry, end, wishes[0] if wishes and status != "succeeded" else None)


def run_of(event: StoredEvent) -> int:
    """The run that the event names; 0 where it names none."""
    run = event.facts.get("run", 0)
    return run if isinstance(run, int) else 0


def _of_type(events: Sequence[StoredEvent], subject: str) -> list[StoredEvent]:
    return [event for event in events if event.type == subject]


def _failure(events: Sequence[StoredEvent], run: int, retry: StoredEvent | None) -> StoredEvent | None:
    """The failure that stands: of the current run, and not replayed since."""
    told = [event for event in _of_type(events, "training.failed") if run_of(event) >= run]
    resumed = [event.id for event in _of_type(events, "stage.started") if event.facts.get("replay") is not None]
    newest = max(told, key=lambda event: (run_of(event), event.id), default=None)
    if newest is None:
        return _untold_failure(events, retry)
    given_up = [event.id for event in _of_type(events, "training.failed") if event.facts.get("replay") is not None]
    return None if max(resumed, default=0) > max([newest.id, *given_up]) else newest


def _untold_failure(events: Sequence[StoredEvent], retry: StoredEvent | None) -> StoredEvent | None:
    """A stage that gave up as the last thing that any stage did: `training.failed` is on its way."""
    stages = [event for event in events if event.type.startswith("stage.") and _is_of_run(event, retry)]
    return stages[-1] if stages and stages[-1].type == "stage.failed" else None


def _stage(status: JobStatus, end: StoredEvent | None, events: Sequence[StoredEvent], retry: StoredEvent | None) -> str:
    if status == "succeeded":
        return "completion"
    if end is not None and end.stage:
        return end.stage
    begun = [_NEXT_AFTER.get(event.type) or event.stage for event in events if _is_of_run(event, retry)]
    begun.append(str(retry.facts.get("from_stage")) if retry else PIPELINE[0])
    return PIPELINE[max(PIPELINE.index(stage) for stage in begun if stage in PIPELINE)]


def _is_of_run(event: StoredEvent, retry: StoredEvent | None) -> bool:
    """Whether the event is of the run that `retry` began: a run before may be told of late."""
    if retry is None:
        return True
    began = event.at - timedelta(milliseconds=event.duration_ms or 0)
    return event.id > retry.id and began > retry.at - SKEW and event.facts.get("run", run_of(retry)) >= run_of(retry)
