"""What went wrong in a training, and what is wrong with it now. Pure."""

from collections import Counter
from collections.abc import Sequence

from fluxline.contracts.debugging import LastError, StoredEvent
from fluxline_collector.remedies import remedy
from fluxline_collector.standing import Standing

ATTEMPT_FAILED = ("stage.retried", "stage.failed")
_ENDED = "training.failed"


def errors_in(events: Sequence[StoredEvent]) -> list[StoredEvent]:
    """Every error once: failed attempts, and ends of the training that no attempt of that stage and category told."""
    known = [event for event in events if event.problem is None]
    told = Counter((event.stage, event.category) for event in known if event.type == "stage.failed")
    errors = []
    for event in known:
        if event.type in ATTEMPT_FAILED:
            errors.append(event)
        elif event.type == _ENDED:
            key = (event.stage, event.category)
            if told[key] > 0:
                told[key] -= 1
            else:
                errors.append(event)
    return errors


def last_error(events: Sequence[StoredEvent], errors: Sequence[StoredEvent], standing: Standing) -> LastError | None:
    """The error that ended the training, otherwise the newest one. Its hint is never empty."""
    failed = standing.status == "failed"
    event = standing.end if failed else (errors[-1] if errors else None)
    if event is None:
        return None
    facts, attempt = event.facts, _attempt_behind(event, events)
    resume_from = facts.get("resume_from")
    return LastError(
        stage=event.stage,
        category=event.category,
        retryable=event.retryable,
        message=str(facts.get("message", "")),
        hint=remedy(str(facts.get("hint", "")), event.category, resume_from),
        occurred_at=event.at,
        attempt=attempt.attempt,
        service=attempt.service,
        resume_from=resume_from,
        context=attempt.facts.get("context") or {},
    )


def _attempt_behind(event: StoredEvent, events: Sequence[StoredEvent]) -> StoredEvent:
    """The failed attempt that a training's end came from: it has the context."""
    if event.type != _ENDED:
        return event
    for other in reversed(events):
        same = (other.stage, other.category) == (event.stage, event.category)
        if other.type == "stage.failed" and same and other.problem is None:
            return other
    return event
