"""Everything the routes share: settings, behaviour, state, calls, faults, and the background work."""

import asyncio
from collections import deque
from collections.abc import Coroutine
from typing import Any

import httpx

from fluxline_sandbox.behaviour import Behaviour
from fluxline_sandbox.calls import CallLog
from fluxline_sandbox.faults import FaultPlan
from fluxline_sandbox.settings import Settings
from fluxline_sandbox.store import Store


class Sandbox:
    """One running stand-in; built by the application, handed to every router."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.store = Store(settings.home)
        self.calls = CallLog()
        self.faults = FaultPlan()
        self.creates: deque[float] = deque()
        saved = self.store.get("settings", "behaviour")
        self.behaviour = self._initial() if saved is None else Behaviour.model_validate(saved)
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=50)
        self.http = httpx.AsyncClient(timeout=httpx.Timeout(30, connect=5), follow_redirects=True, limits=limits)
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.heavy = asyncio.Semaphore(2)

    def _initial(self) -> Behaviour:
        return Behaviour(training_seconds=self.settings.training_seconds)

    def configure(self, changes: dict[str, Any]) -> Behaviour:
        """Change the named behaviours and keep them; raises ValidationError for an unknown or impossible value."""
        self.behaviour = Behaviour.model_validate({**self.behaviour.model_dump(), **changes})
        self.store.put("settings", "behaviour", self.behaviour.model_dump())
        return self.behaviour

    def spawn(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """Run background work that `stop` can end by name; nothing happens twice under one name."""
        if name in self.tasks:
            work.close()
            return
        task = asyncio.create_task(work, name=name)
        self.tasks[name] = task
        task.add_done_callback(lambda _: self.tasks.pop(name, None))

    def stop(self, name: str) -> None:
        """Cancel background work, if it is still running."""
        if (task := self.tasks.get(name)) is not None:
            task.cancel()

    async def reset(self) -> None:
        """Become as new: no jobs, repositories, counts, calls or faults, and the settings of the start."""
        await self._end_work()
        self.store.clear()
        self.calls.clear()
        self.faults.clear()
        self.creates.clear()
        self.behaviour = self._initial()

    async def close(self) -> None:
        """End the background work and release connections and files; the state stays on disk."""
        await self._end_work()
        await self.http.aclose()
        self.store.close()

    async def _end_work(self) -> None:
        running = list(self.tasks.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
