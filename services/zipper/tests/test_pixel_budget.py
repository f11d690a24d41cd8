"""Decoded pixels wait for room, and are never refused."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from fluxline_zipper.pixel_budget import PixelBudget


def test_what_fits_is_held_at_once_and_what_does_not_waits() -> None:
    budget, entered = PixelBudget(100), threading.Event()

    def third() -> None:
        with budget.hold(50):
            entered.set()

    with ThreadPoolExecutor(1) as thread:
        with budget.hold(60):
            with budget.hold(40):
                waiting = thread.submit(third)
                assert not entered.wait(0.05)
            assert not entered.wait(0.05)
        waiting.result(timeout=5)
    assert entered.is_set()


def test_a_picture_larger_than_all_of_it_is_let_in_alone() -> None:
    budget, entered = PixelBudget(100), threading.Event()

    def small() -> None:
        with budget.hold(1):
            entered.set()

    with ThreadPoolExecutor(1) as thread:
        with budget.hold(10_000):
            waiting = thread.submit(small)
            assert not entered.wait(0.05)
        waiting.result(timeout=5)


def test_room_comes_back_when_a_decoder_fails() -> None:
    budget = PixelBudget(100)
    with pytest.raises(ValueError, match="damaged"), budget.hold(100):
        raise ValueError("damaged")
    with budget.hold(100):
        pass
