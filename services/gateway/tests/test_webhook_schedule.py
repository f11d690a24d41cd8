"""What follows from an attempt: when it is tried again, and when no more."""

from datetime import UTC, datetime

import pytest

from fluxline_gateway.webhooks.schedule import (
    MAX_RETRY_AFTER_S,
    SCHEDULE_S,
    TEST,
    Attempt,
    Verdict,
    judge,
    retry_after_s,
    waits_of,
)

NOW = datetime(2026, 11, 25, 10, tzinfo=UTC)
DOWN = Attempt("answered", 10, status_code=503)


def test_the_waits_grow_from_seconds_to_a_day() -> None:
    waits = [judge(DOWN, step, SCHEDULE_S, 0).wait_s for step in range(1, 10)]
    assert waits == [5, 30, 300, 1800, 7200, 18_000, 36_000, 50_400, 86_400]


def test_the_tenth_failure_is_the_last() -> None:
    assert judge(DOWN, 9, SCHEDULE_S, 0).status == "pending"
    assert judge(DOWN, 10, SCHEDULE_S, 0) == Verdict("failed")


@pytest.mark.parametrize(("jitter", "wait_s"), [(-1, 27), (0, 30), (1, 33)])
def test_a_wait_is_a_tenth_longer_or_shorter(jitter: float, wait_s: float) -> None:
    assert judge(DOWN, 2, SCHEDULE_S, jitter).wait_s == pytest.approx(wait_s)


def test_a_success_ends_it_at_any_step() -> None:
    taken = Attempt("delivered", 10, status_code=204)
    assert {judge(taken, step, SCHEDULE_S, 0) for step in range(1, 11)} == {Verdict("delivered")}


def test_gone_ends_it_at_once() -> None:
    assert judge(Attempt("answered", 10, status_code=410), 1, SCHEDULE_S, 0) == Verdict("failed")


def test_retry_after_makes_a_wait_longer_never_shorter_and_at_most_a_day() -> None:
    def wait_s(asked_s: float) -> float | None:
        return judge(Attempt("answered", 10, status_code=429, retry_after_s=asked_s), 3, SCHEDULE_S, 0).wait_s

    assert (wait_s(1), wait_s(1000), wait_s(1e9)) == (300, 1000, 86_400)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, 0),
        ("120", 120),
        (" 120 ", 120),
        ("9" * 5000, MAX_RETRY_AFTER_S),
        ("Wed, 25 Nov 2026 10:02:00 GMT", 120),
        ("Wed, 25 Nov 2026 09:00:00 GMT", 0),
        ("Wed, 25 Nov 99999999999999999999 10:00:00 GMT", 0),
        ("-5", 0),
        ("soon", 0),
        ("", 0),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(header: str | None, seconds: float) -> None:
    assert retry_after_s(header, NOW) == seconds


def test_a_test_is_sent_once() -> None:
    assert judge(DOWN, 1, waits_of(TEST), 0) == Verdict("failed")
    assert judge(DOWN, 1, waits_of("training.failed"), 0).status == "pending"
