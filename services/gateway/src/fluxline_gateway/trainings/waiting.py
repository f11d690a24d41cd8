"""Why a training does not move, in words. Pure; clients may rely on what stands before the colon or the time."""

from datetime import UTC, datetime

from fluxline.contracts.errors import ErrorCategory, Stage

PROVIDER_QUEUE = "provider queue: Replicate has not started it yet"
NATS_DOWN = "service down: NATS cannot be reached; it goes on by itself once it is back"


def between_attempts(category: ErrorCategory, next_attempt_at: datetime, message: str) -> str:
    """An attempt failed with `message`; the next one starts at that time (aware)."""
    word = "rate limit until" if category is ErrorCategory.RATE_LIMIT else "retry at"
    return f"{word} {_clock(next_attempt_at)}: {message}"


def service_down(service: str) -> str:
    """No replica of the service in charge takes work."""
    return f"service down: no {service} is taking work; it goes on by itself once one runs"


def queued(before: int, service: str) -> str:
    """`before` other jobs wait at the same service."""
    return f"queued: {before} {'job' if before == 1 else 'jobs'} before it at {service}"


def slow(stage: Stage, since: datetime) -> str:
    """The stage has said nothing since that time (aware), for no known reason."""
    return f"slow: no news from {stage.value} since {_clock(since)}"


def _clock(at: datetime) -> str:
    return f"{at.astimezone(UTC):%H:%M:%S} UTC"
