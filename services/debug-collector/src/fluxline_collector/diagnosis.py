"""One line that says where a training is, why, and what to do, to a person who never saw the code. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from fluxline.contracts.catalog import EVENTS
from fluxline.contracts.debugging import LastError, StageSummary, StoredEvent, TrainingProgress, Waiting
from fluxline.contracts.narration import STAGE_NAMES, clock_text, duration_text
from fluxline_collector.remedies import ended
from fluxline_collector.standing import Standing

SERVICES = {"zip_creation": "zipper", "replicate_training": "trainer", "huggingface_upload": "publisher"}
USUAL_SILENCE_S = {"zip_creation": 60.0, "replicate_training": 300.0, "huggingface_upload": 120.0}
"""Seconds without news that nobody need wonder about."""
QUEUE_S = 900.0
"""The same, in the provider's queue."""


@dataclass(frozen=True)
class Case:
    """All that is known of a training; `errors` is how many there were."""

    events: Sequence[StoredEvent]
    standing: Standing
    stages: Sequence[StageSummary]
    error: LastError | None
    waiting: Waiting | None
    progress: TrainingProgress | None
    now: datetime
    errors: int

    @property
    def stage(self) -> str:
        """The current stage as a person calls it."""
        return STAGE_NAMES.get(self.standing.stage, self.standing.stage)

    @property
    def service(self) -> str:
        """Who is in charge of the current stage."""
        return SERVICES.get(self.standing.stage, "service")

    @property
    def current(self) -> StageSummary | None:
        """The current stage so far; None where it has not begun in this run."""
        found = next((stage for stage in self.stages if stage.stage == self.standing.stage), None)
        return found if found and found.status != "pending" else None

    @property
    def attempt(self) -> int:
        """The number of the newest attempt at the current stage, which counts from 1 in each run."""
        own = (event for event in reversed(self.events) if event.stage == self.standing.stage and event.problem is None)
        return next((event.attempt for event in own if event.type.startswith("stage.") and event.attempt), 1)

    @property
    def silence_s(self) -> float:
        """Seconds since the last word of it."""
        return max(0.0, (self.now - max(event.at for event in self.events)).total_seconds())


def diagnose(case: Case) -> str:
    """The line. It names stage, category and remedy where something is wrong, and what is waited for where it waits."""
    match case.standing.status:
        case "succeeded":
            return _succeeded(case)
        case "canceled":
            return _canceled(case)
        case "failed":
            return _failed(case)
        case _:
            return " ".join(filter(None, (_running(case), _unreadable(case))))


def _succeeded(case: Case) -> str:
    said = f"Completed: {case.standing.end.message if case.standing.end else ''}"
    if not case.errors:
        return said
    times = "1 error" if case.errors == 1 else f"{case.errors} errors"
    return f"{ended(said)} {times} on the way {'was' if case.errors == 1 else 'were'} overcome by trying again."


def _canceled(case: Case) -> str:
    reason = case.standing.stop.facts.get("reason") if case.standing.stop else "owner"
    who = "to be deleted" if reason == "deleted" else "by its owner"
    return f"Canceled {who}, at {case.stage}."


def _failed(case: Case) -> str:
    error = case.error
    if error is None:
        return f"{case.stage} failed."
    again = " again" if case.standing.run else ""
    return f"{case.stage} failed{again} ({error.category}): {ended(error.message)} {error.hint}".strip()


def _running(case: Case) -> str:
    waiting = case.waiting
    match waiting.reason if waiting else None:
        case "canceling":
            return _canceling(case)
        case "retry" | "rate_limit":
            return _between_attempts(case)
        case "provider_queue":
            return _in_the_providers_queue(case)
        case "service":
            return _nobody_begins(case)
        case _:
            return _at_work(case)


def _canceling(case: Case) -> str:
    said = f"Being canceled since {_since(case)}: {case.stage} has not stopped yet."
    if case.silence_s < USUAL_SILENCE_S.get(case.standing.stage, 60.0):
        return said
    return f"{said} Check that the {case.service} runs and reaches the provider; it stops by itself once it does."


def _between_attempts(case: Case) -> str:
    error, until = case.error, case.waiting.until if case.waiting else None
    if error is None:
        return _at_work(case)
    waits = "waits for the rate limit" if case.waiting and case.waiting.reason == "rate_limit" else "waits"
    at = f"at {clock_text(until)}" if until else "soon"
    return (
        f"{case.stage} {waits} and is tried again {at}, after attempt {error.attempt} failed"
        f" ({error.category}): {ended(error.message)} {error.hint}"
    )


def _in_the_providers_queue(case: Case) -> str:
    said = f"{case.stage} waits in the provider's queue since {_since(case)}: it was accepted, and has not begun there."
    if case.silence_s < QUEUE_S:
        return said
    return f"{said} Look at the provider's status page; it goes on by itself, or ends at its deadline."


def _nobody_begins(case: Case) -> str:
    return (
        f"{case.stage} is due since {_since(case)} and has not been begun: check that the {case.service} runs"
        " and is not busy with others; it goes on by itself once it is."
    )


def _at_work(case: Case) -> str:
    if case.current is None:
        return f"Running: {case.stage} is about to begin."
    trouble = _overcome(case)
    said = f"Running: {case.stage}, attempt {case.attempt}{_how_far(case)}."
    usual_s = USUAL_SILENCE_S.get(case.standing.stage, 60.0)
    if case.silence_s < usual_s:
        return f"{said}{trouble}"
    silence = duration_text(case.silence_s * 1000)
    return (
        f"{said} It has said nothing for {silence}: check that the {case.service} runs;"
        f" it goes on by itself, or fails at its deadline.{trouble}"
    )


def _overcome(case: Case) -> str:
    """The error before this attempt, if it was this stage's."""
    error = case.error
    if error is None or error.stage != case.standing.stage or case.current is None or case.current.attempts < 2:
        return ""
    return f" The attempt before failed ({error.category}): {ended(error.message)}"


def _how_far(case: Case) -> str:
    progress = case.progress
    if case.standing.stage != "replicate_training" or progress is None or progress.step is None:
        return ""
    left = f", about {duration_text(progress.eta_s * 1000)} left" if progress.eta_s else ""
    return f", at {progress.percent:g} % (step {progress.step} of {progress.steps}{left})"


def _unreadable(case: Case) -> str:
    """A message that nobody could read may be why nothing goes on."""
    found = [event for event in case.events if event.problem is not None and event.type in EVENTS]
    if not found:
        return ""
    return f"{ended(found[0].message)} Mend its sender or receivers, then replay its dead letter with `fluxline dlq`."


def _since(case: Case) -> str:
    """The time, with its date where that is not today's."""
    since = case.waiting.since if case.waiting else case.now
    is_today = since.astimezone(UTC).date() == case.now.astimezone(UTC).date()
    return clock_text(since) if is_today else f"{since.astimezone(UTC):%Y-%m-%d} {clock_text(since)}"
