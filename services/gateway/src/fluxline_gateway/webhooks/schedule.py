"""What follows from an attempt at a delivery. Pure: no clock, no chance, no input or output."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, Literal, TypeAlias

SCHEDULE_S: Final = (5.0, 30.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 50_400.0, 86_400.0)
"""Seconds from each failed attempt to the next one (Standard Webhooks suggests their order of magnitude)."""
JITTER: Final = 0.1
"""By which part of itself a wait is longer or shorter, so that what failed together does not come back together."""
MAX_RETRY_AFTER_S: Final = 86_400.0
TEST: Final = "webhook.test"
GONE: Final = 410
Outcome: TypeAlias = Literal["delivered", "answered", "unreachable", "timeout", "refused"]
"""Of an attempt: 2xx, any other answer, no connection or a broken one, no answer in time, not sent by our own rules."""


@dataclass(frozen=True)
class Attempt:
    """What one attempt came to; `answer` is the beginning of what was answered, without secrets."""

    outcome: Outcome
    duration_ms: int
    status_code: int | None = None
    error: str | None = None
    answer: str | None = None
    retry_after_s: float = 0.0


@dataclass(frozen=True)
class Verdict:
    """How the delivery stands after an attempt: ended, or pending for `wait_s` more seconds."""

    status: Literal["pending", "delivered", "failed"]
    wait_s: float | None = None


def judge(attempt: Attempt, step: int, waits_s: Sequence[float], jitter: float) -> Verdict:
    """The verdict on attempt number `step` (from 1) of a schedule; `jitter` is from -1 to 1.

    A `Retry-After` makes a wait longer, never shorter: attempts are too few to be spent at once.
    """
    if attempt.outcome == "delivered":
        return Verdict("delivered")
    if attempt.status_code == GONE or step > len(waits_s):
        return Verdict("failed")
    wait_s = waits_s[step - 1] * (1 + JITTER * jitter)
    return Verdict("pending", max(wait_s, min(attempt.retry_after_s, MAX_RETRY_AFTER_S)))


def waits_of(delivery_type: str, schedule_s: Sequence[float] = SCHEDULE_S) -> Sequence[float]:
    """The waits between attempts; a test is sent once, for somebody who looks at what happens."""
    return () if delivery_type == TEST else schedule_s


def retry_after_s(value: str | None, now: datetime) -> float:
    """The seconds that a `Retry-After` header asks for (RFC 9110, 10.2.3); 0 when there is none, or it says nothing."""
    if value is None:
        return 0.0
    if (number := value.strip()).isdecimal():
        return min(float(number[:20]), MAX_RETRY_AFTER_S)
    try:
        at = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return 0.0
    return max(0.0, ((at if at.tzinfo else at.replace(tzinfo=UTC)) - now).total_seconds())
