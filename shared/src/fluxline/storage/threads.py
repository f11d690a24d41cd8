"""Blocking calls from async code, on a few threads of one's own: what waits on a disk never starves other work."""

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Threads:
    """At most `count` blocking calls at a time; more of them wait for their turn."""

    def __init__(self, count: int, name: str) -> None:
        self._executor = ThreadPoolExecutor(count, thread_name_prefix=name)

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The result of the call. A cancelled caller leaves at once; a call that began runs to its end."""
        call = partial(contextvars.copy_context().run, partial(function, *args, **kwargs))
        return await asyncio.get_running_loop().run_in_executor(self._executor, call)

    async def close(self) -> None:
        """Wait for running calls, drop waiting ones."""
        await asyncio.to_thread(self._executor.shutdown, wait=True, cancel_futures=True)
