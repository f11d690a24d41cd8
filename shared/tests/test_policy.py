"""The one retry policy."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluxline.contracts.errors import ErrorCategory, FluxlineError
from fluxline.runtime.policy import MAX_DELAY_S, GiveUp, Retry, RetryPolicy


def error_of(category: ErrorCategory, retry_after_s: float | None = None) -> FluxlineError:
    cls = type("SomeError", (FluxlineError,), {"category": category})
    error: FluxlineError = cls("it failed", retry_after_s=retry_after_s)
    return error


def test_delays_double_and_stay_within_their_jitter() -> None:
    policy = RetryPolicy()
    error = error_of(ErrorCategory.NETWORK)
    for attempt in range(1, 10):
        outcome = policy.decide(error, attempt)
        assert isinstance(outcome, Retry)
        expected = min(300.0, 2.0 ** (attempt - 1))
        assert expected * 0.8 <= outcome.delay_s <= min(300.0, expected * 1.2)


@pytest.mark.parametrize("category", [c for c in ErrorCategory if not c.retryable])
def test_what_cannot_help_is_not_tried_again(category: ErrorCategory) -> None:
    assert RetryPolicy().decide(error_of(category), 1) == GiveUp(exhausted=False)


def test_the_budget_ends_it() -> None:
    assert RetryPolicy(attempts=4).decide(error_of(ErrorCategory.TIMEOUT), 4) == GiveUp(exhausted=True)


def test_our_own_bugs_have_a_smaller_budget() -> None:
    assert RetryPolicy().decide(error_of(ErrorCategory.INTERNAL), 3) == GiveUp(exhausted=True)


def test_retry_after_is_honoured_and_capped() -> None:
    policy = RetryPolicy(jitter=0)
    assert policy.decide(error_of(ErrorCategory.RATE_LIMIT, 30), 1) == Retry(30)
    assert policy.decide(error_of(ErrorCategory.RATE_LIMIT, 86_400), 1) == Retry(MAX_DELAY_S)


@given(
    st.sampled_from(sorted(ErrorCategory)),
    st.integers(1, 10_000),
    st.floats(0, 1e9) | st.none(),
    st.floats(0, 1),
)
def test_every_delay_is_positive_and_bounded(
    category: ErrorCategory, attempt: int, retry_after_s: float | None, chance: float
) -> None:
    outcome = RetryPolicy(attempts=10_001, random=lambda: chance).decide(error_of(category, retry_after_s), attempt)
    if isinstance(outcome, Retry):
        assert 0 < outcome.delay_s <= MAX_DELAY_S


def test_a_policy_without_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="attempts"):
        RetryPolicy(attempts=0)
