"""The one retry policy: what happens after an attempt failed, as a closed union of outcomes."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from fluxline.contracts.errors import ErrorCategory, FluxlineError

MAX_DELAY_S = 300.0


@dataclass(frozen=True)
class Retry:
    """Try again after `delay_s`."""

    delay_s: float


@dataclass(frozen=True)
class GiveUp:
    """Trying again cannot help, or the budget is used up (`exhausted`)."""

    exhausted: bool


Outcome = Retry | GiveUp


@dataclass(frozen=True)
class RetryPolicy:
    """Exponential backoff with jitter, bounded in number and in delay.

    The n-th delay is min(cap, base · 2^(n-1)) · (1 ± jitter); a provider's Retry-After replaces it where it
    is longer, capped too. `attempts` counts all tries, the first included.
    """

    attempts: int = 10
    internal_attempts: int = 3
    base_s: float = 1.0
    cap_s: float = MAX_DELAY_S
    jitter: float = 0.2
    random: Callable[[], float] = field(default=random.random, repr=False)

    def __post_init__(self) -> None:
        if not (self.attempts >= 1 and self.internal_attempts >= 1 and 0 < self.base_s <= self.cap_s):
            raise ValueError("a retry policy needs attempts ≥ 1 and 0 < base_s ≤ cap_s")

    def decide(self, error: FluxlineError, attempt: int) -> Outcome:
        """What follows the failed attempt number `attempt` (1 = the first)."""
        if not error.retryable:
            return GiveUp(exhausted=False)
        if attempt >= self._budget(error.category):
            return GiveUp(exhausted=True)
        return Retry(self._delay_s(error, attempt))

    def _budget(self, category: ErrorCategory) -> int:
        return self.internal_attempts if category is ErrorCategory.INTERNAL else self.attempts

    def _delay_s(self, error: FluxlineError, attempt: int) -> float:
        if error.at_once:
            return 0.0
        backoff = min(self.cap_s, self.base_s * 2.0 ** min(attempt - 1, 30))
        jittered = backoff * (1 + self.jitter * (2 * self.random() - 1))
        return min(self.cap_s, max(jittered, error.retry_after_s or 0.0))
