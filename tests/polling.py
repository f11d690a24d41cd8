"""Waiting in tests: poll until a condition holds, never sleep for a guessed time."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

T = TypeVar("T")


@overload
async def poll_until(condition: Callable[[], Awaitable[T]], timeout_s: float = ..., interval_s: float = ...) -> T: ...
@overload
async def poll_until(condition: Callable[[], T], timeout_s: float = ..., interval_s: float = ...) -> T: ...
async def poll_until(condition: Callable[[], Any], timeout_s: float = 10, interval_s: float = 0.02) -> Any:
    """The first truthy value of `condition` (plain or async); raises TimeoutError after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while True:
        result = condition()
        value = await result if inspect.isawaitable(result) else result
        if value:
            return value
        if time.monotonic() >= deadline:
            raise TimeoutError(f"the condition did not hold within {timeout_s} s; its last value was {value!r}")
        await asyncio.sleep(interval_s)
