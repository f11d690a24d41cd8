"""Events onto the state of a training. Pure: no clock, no input or output.

Every fact is a register that keeps the value with the highest stream sequence (or run and sequence, or the maximum),
so events may come late, twice or in any order: the same set of events always ends in the same state. What the API
decides (`canceling`, `retried`) goes into the registers of the event that it emits: whichever comes first.
"""

from datetime import datetime

from fluxline.contracts import events as e
from fluxline.contracts.errors import Stage
from fluxline.contracts.event import Event
from fluxline_gateway.trainings import waiting
from fluxline_gateway.trainings.state import (
    PIPELINE,
    Canceled,
    Failure,
    Live,
    Published,
    Retry,
    StageFacts,
    Trained,
    TrainingState,
)

ZIPPED, TRAINED, UPLOADED, DONE = 15.0, 85.0, 99.0, 100.0
"""Progress over the whole pipeline, in percent, at the end of each stage."""


def apply(state: TrainingState, event: Event, sequence: int) -> TrainingState:
    """The state after `event`, which the stream stored as `sequence`."""
    changes: dict[str, object] = {"sequence": max(state.sequence, sequence)}
    changes["progress"] = max(state.progress, _progress(event))
    changes["last_event_at"] = _later(state.last_event_at, event.occurred_at)
    if stage := _stage_of(event):
        changes["moved_at"] = state.moved_at | {stage: _later(state.moved_at.get(stage), event.occurred_at)}
    if sign := _sign(event):
        changes["signs"] = state.signs | {sign: max(state.signs.get(sign, 0), sequence)}
    return _registers(state.model_copy(update=changes), event, sequence)


def canceling(state: TrainingState, run: int) -> TrainingState:
    """The state once the owner wants that run stopped."""
    return state.model_copy(update={"cancel_run": max(state.cancel_run, run)})


def retried(state: TrainingState, run: int, from_stage: Stage, sequence: int | None = None) -> TrainingState:
    """The state once that run is asked for; its event's sequence may not be known yet."""
    new = Retry(run=run, sequence=state.sequence if sequence is None else sequence, from_stage=from_stage)
    if state.retry and (state.retry.run, state.retry.sequence) >= (new.run, new.sequence):
        return state
    return state.model_copy(update={"retry": new})


def _registers(state: TrainingState, event: Event, sequence: int) -> TrainingState:
    match event:
        case e.TrainingCancelRequested() if event.reason != "deadline":
            return canceling(state, event.run)
        case e.TrainingRetryRequested():
            return retried(state, event.run, event.from_stage, sequence)
        case _:
            return state.model_copy(update=_changes(state, event, sequence))


def _changes(state: TrainingState, event: Event, sequence: int) -> dict[str, object]:
    match event:
        case e.StageStarted() | e.StageSucceeded() | e.StageRetried() | e.StageFailed():
            changes = {"stages": state.stages | {event.stage: _stage(state.stages.get(event.stage), event, sequence)}}
            replayed = isinstance(event, e.StageStarted) and event.replay is not None
            return changes | {"resumed_sequence": max(state.resumed_sequence, sequence if replayed else 0)}
        case e.TrainingProgressed() if state.live is None or sequence > state.live.sequence:
            facts = event.model_dump(include={"step", "steps", "loss", "eta_s", "phase"})
            return {"live": Live(sequence=sequence, **facts)}
        case e.TrainingSucceeded() if state.trained is None or sequence > state.trained.sequence:
            return {"trained": Trained(sequence=sequence, provider_version=event.provider_version, cost=event.cost)}
        case e.ModelPublished() if state.published is None or sequence > state.published.sequence:
            return {"published": _published(event, sequence)}
        case e.TrainingFailed():
            newest = max(filter(None, (state.failure, _failure(event, sequence))), key=lambda f: (f.run, f.sequence))
            given_up = max(state.given_up_sequence, sequence if event.replay is not None else 0)
            return {"failure": newest, "given_up_sequence": given_up}
        case e.TrainingCanceled():
            told = [Canceled(run=event.run, at=event.occurred_at), *([state.canceled] if state.canceled else [])]
            return {"canceled": min(told, key=lambda canceled: (-canceled.run, canceled.at))}
        case _:
            return {}


def _published(event: e.ModelPublished, sequence: int) -> Published:
    return Published(
        sequence=sequence,
        at=event.occurred_at,
        model_id=str(event.model_id),
        weights_key=event.weights_key,
        huggingface=event.huggingface,
    )


def _failure(event: e.TrainingFailed, sequence: int) -> Failure:
    facts = {name: getattr(event, name) for name in Failure.model_fields if name not in ("sequence", "at")}
    return Failure(sequence=sequence, at=event.occurred_at, **facts)


def _stage(known: StageFacts | None, event: e.StageEvent, sequence: int) -> StageFacts:
    waiting_for = None
    if isinstance(event, e.StageRetried):
        waiting_for = waiting.between_attempts(event.category, event.next_attempt_at, event.message)
    new = StageFacts(
        started_at=event.occurred_at,
        started_sequence=sequence,
        attempts=event.attempt,
        last_sequence=sequence,
        last_type=event.subject,
        last_at=event.occurred_at,
        waiting_for=waiting_for,
    )
    if known is None:
        return new
    first, last = (
        (known if known.started_sequence <= sequence else new),
        (new if sequence > known.last_sequence else known),
    )
    return last.model_copy(
        update={
            "started_at": first.started_at,
            "started_sequence": first.started_sequence,
            "attempts": max(known.attempts, event.attempt),
        }
    )


def _stage_of(event: Event) -> Stage | None:
    """The stage that an event of the pipeline tells of."""
    stage = event.stage if isinstance(event, e.StageEvent) else event.stage_of_job
    return stage if stage in PIPELINE else None


def _sign(event: Event) -> Stage | None:
    """The stage that has begun, or may begin, when there is this event."""
    if isinstance(event, e.ZipCreated):
        return Stage.REPLICATE_TRAINING
    if isinstance(event, e.TrainingSucceeded):
        return Stage.HUGGINGFACE_UPLOAD
    return _stage_of(event)


def _later(one: datetime | None, other: datetime) -> datetime:
    return max(one, other) if one else other


def _progress(event: Event) -> float:
    match event:
        case e.ZipProgressed():
            return ZIPPED * min(event.done, event.total) / event.total
        case e.ZipCreated():
            return ZIPPED
        case e.TrainingProgressed():
            return ZIPPED + (TRAINED - ZIPPED) * event.percent / 100
        case e.TrainingSucceeded():
            return TRAINED
        case e.ModelProgressed() if event.total_bytes:
            return TRAINED + (UPLOADED - TRAINED) * min(1.0, event.done_bytes / event.total_bytes)
        case e.ModelPublished():
            return DONE
        case _:
            return 0.0
