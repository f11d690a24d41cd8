"""Keeps programs running: starts them, waits until they are ready, starts anew what dies, stops them all."""

import asyncio
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import httpx

from fluxline_cli.stack.errors import ProgramFailed
from fluxline_cli.stack.processes import end, kill_group, spawn
from fluxline_cli.stack.program import Program

READY_POLL_S = 0.05
START_TIMEOUT_S = 120.0
START_ATTEMPTS = 5
FIRST_BACKOFF_S, LONGEST_BACKOFF_S = 0.2, 10.0
STEADY_S = 3.0
"""Who ran this long starts again without a growing delay."""
STOP_PATIENCE_S = 20.0
EX_CONFIG = 78
"""sysexits.h: the configuration is wrong; starting anew does not mend that."""


class Supervised:
    """One program and the process that is running it."""

    def __init__(self, program: Program, log: Path, changed: Callable[[], None]) -> None:
        self.program = program
        self.log = log
        self.child: asyncio.subprocess.Process | None = None
        self.is_ready = False
        self.restarts = 0
        self.failure: ProgramFailed | None = None
        self._changed = changed
        self._stopping = False

    async def keep(self) -> None:
        """Run the program until `stop`; sets `failure` and ends when it cannot be started at all."""
        backoff = FIRST_BACKOFF_S
        while not self._stopping:
            started = time.monotonic()
            self.child = await spawn(self.program, self.log)
            self._changed()
            status = await self.child.wait()
            kill_group(self.child.pid)
            if self._stopping:
                return
            self.failure = self._verdict(status)
            if self.failure:
                return
            backoff = FIRST_BACKOFF_S if time.monotonic() - started > STEADY_S else backoff * 2
            await asyncio.sleep(min(backoff, LONGEST_BACKOFF_S))
            self.restarts += 1

    async def wait_ready(self, http: httpx.AsyncClient) -> None:
        """Return once the program serves; raises ProgramFailed when it ends too often, or after two minutes."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while not (self.child and self.child.returncode is None and await self.program.ready(http, self.child.pid)):
            if self.failure:
                raise self.failure
            if time.monotonic() > deadline:
                raise ProgramFailed(self.program.name, self.log, f"is not ready after {START_TIMEOUT_S:.0f} s")
            await asyncio.sleep(READY_POLL_S)
        self.is_ready = True
        self._changed()

    async def stop(self) -> None:
        """End the process for good."""
        self._stopping = True
        if self.child is not None:
            await end(self.child, self.program.stop_signal, patience_s=STOP_PATIENCE_S)

    def _verdict(self, status: int) -> ProgramFailed | None:
        if status == EX_CONFIG:
            return ProgramFailed(self.program.name, self.log, "refuses its configuration")
        if not self.is_ready and self.restarts + 1 >= START_ATTEMPTS:
            return ProgramFailed(self.program.name, self.log, f"does not start (it ended {START_ATTEMPTS} times)")
        return None


class Supervisor:
    """All programs of a stack. Leaving the block stops them, those started last first."""

    def __init__(self, log_of: Callable[[str], Path], changed: Callable[[], None]) -> None:
        self.programs: dict[str, Supervised] = {}
        self._log_of = log_of
        self._changed = changed
        self._keepers: list[asyncio.Task[None]] = []
        self.http = httpx.AsyncClient(trust_env=False, limits=httpx.Limits(max_keepalive_connections=0))

    def start(self, program: Program) -> Supervised:
        """Start a program; it is kept running from now on."""
        supervised = Supervised(program, self._log_of(program.name), self._changed)
        self.programs[program.name] = supervised
        self._keepers.append(asyncio.create_task(supervised.keep()))
        return supervised

    async def start_and_wait(self, program: Program) -> None:
        """Start a program and return once it serves."""
        await self.start(program).wait_ready(self.http)

    async def watch(self) -> None:
        """Return never; raises ProgramFailed when a program cannot be kept running."""
        while True:
            await asyncio.sleep(READY_POLL_S)
            for supervised in self.programs.values():
                if supervised.failure:
                    raise supervised.failure

    async def stop(self, waves: Iterable[set[str]]) -> None:
        """Stop the programs wave by wave, those of a wave at once; whatever is in none comes last."""
        remaining = dict(self.programs)
        for wave in [*waves, set(remaining)]:
            leaving = [remaining.pop(name) for name in wave & set(remaining)]
            await asyncio.gather(*(supervised.stop() for supervised in leaving))
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        await self.http.aclose()
