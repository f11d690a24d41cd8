"""The stack of a module's rows: started over links, with quick settings, and ordered about."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Self

import psutil

from e2e.running import START_TIMEOUT_S, RunningStack
from fluxline_cli.stack.providers import VARIABLES
from processes import free_ports

DRIVER = Path(__file__).with_name("driver.py")
ORDER_TIMEOUT_S = 60.0
SERVICES = ("gateway", "zipper", "trainer", "publisher", "generator", "collector")
QUICK = {
    "TRAINER_SETTLE_S": "4",
    "TRAINER_POLL_SECONDS": "[0.5]",
    "TRAINER_SWEEP_S": "2",
    "TRAINER_CONFIRM_S": "1",
    "TRAINER_REQUEST_TIMEOUT_S": "2",
    "TRAINER_AUDIT_S": "2",
    "TRAINER_RETRY_BASE_S": "0.3",
    "PUBLISHER_HUB_TIMEOUT_S": "5",
    "GENERATOR_SETTLE_S": "3",
    "GENERATOR_CALL_TIMEOUT_S": "3",
    "GENERATOR_PROVIDERS": "replicate",
}
"""The services' waits, shortened; what has to be longer than something else still is."""


class FaultStack(RunningStack):
    """A running stack that takes orders: see `driver`. What a row changes, its context manager changes back."""

    def __init__(self, home: Path, settings: Mapping[str, str] | None = None) -> None:
        super().__init__(home)
        self._settings = {**QUICK, **(settings or {})}

    def __enter__(self) -> Self:
        """Start, and return once the stack is ready."""
        [self._port] = free_ports(1)
        command = [sys.executable, str(DRIVER), str(self.home), str(self._port)]
        with self._output.open("wb") as output:
            self._up = subprocess.Popen(
                command,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=_without_providers() | self._settings,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self.state_file.exists():
            if self._up.poll() is not None or time.monotonic() > deadline:
                self._up.kill()
                self._up.wait()
                raise RuntimeError(f"the stack did not start:\n{self.output()}")
            time.sleep(0.05)
        return self

    async def order(self, do: str, **how: Any) -> None:
        """Have the driver do it; returns when it is done."""
        async with asyncio.timeout(ORDER_TIMEOUT_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            writer.write(json.dumps({"do": do, **how}).encode() + b"\n")
            answer = json.loads(await reader.readline())
            writer.close()
        assert answer == {"done": True}, answer

    async def stop(self, name: str, *, crash: bool = False) -> None:
        """End a program, and do not start it again: by its own signal, or by kill -9."""
        await self.order("stop", name=name, crash=crash)

    async def start(self, name: str, *, wait: bool = True, **env: str) -> None:
        """Start a stopped program, with these variables on top."""
        await self.order("start", name=name, env=env, wait=wait)

    async def restart(self, name: str, *, crash: bool = False, **env: str) -> None:
        """Stop and start."""
        await self.stop(name, crash=crash)
        await self.start(name, **env)

    @asynccontextmanager
    async def without(self, name: str, *, crash: bool = False) -> AsyncIterator[None]:
        """The program is away inside the block."""
        await self.stop(name, crash=crash)
        try:
            yield
        finally:
            await self.start(name)

    @asynccontextmanager
    async def second(self, name: str) -> AsyncIterator[str]:
        """A second replica of the service runs inside the block; its name."""
        [port] = free_ports(1)
        replica = f"{name}-2"
        await self.order("replicate", name=name, replica=replica, port=port)
        try:
            yield replica
        finally:
            await self.stop(replica)

    @asynccontextmanager
    async def with_settings(self, name: str, **env: str) -> AsyncIterator[None]:
        """The service runs with these variables inside the block."""
        await self.restart(name, **env)
        try:
            yield
        finally:
            await self.restart(name)

    @asynccontextmanager
    async def link(self, to: str, state: str, *, service: str = "*", delay_s: float = 0.0) -> AsyncIterator[None]:
        """The link of a service (all by default) to `nats`, `postgres` or `sandbox` is so inside the block."""
        await self.order("link", to=to, service=service, state=state, delay_s=delay_s)
        try:
            yield
        finally:
            await self.order("link", to=to, service=service, state="open")

    async def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A `fluxline` command against this stack."""
        return await asyncio.to_thread(self.run, *arguments)

    async def provision(self) -> None:
        """Run the provisioning, as an operator would."""
        await self.order("provision")

    async def try_out(self, name: str, *, seconds: float = 20.0, **env: str) -> tuple[int | None, str]:
        """Run a second process of a service for a while: its exit status (None: it stayed), and what it printed."""
        [port] = free_ports(1)
        environment = await self.environment_of(name)
        environment |= {f"{name.upper()}_HTTP_PORT": str(port), **env}
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", f"fluxline_{name}", env=environment, stderr=asyncio.subprocess.PIPE
        )
        try:
            async with asyncio.timeout(seconds):
                _, said = await child.communicate()
            return child.returncode, said.decode(errors="replace")
        except TimeoutError:
            child.terminate()
            _, said = await child.communicate()
            return None, said.decode(errors="replace")

    async def environment_of(self, name: str) -> dict[str, str]:
        """What the service's process was told."""
        return psutil.Process(self.pid(name)).environ()

    @contextmanager
    def paused(self, name: str) -> Iterator[None]:
        """The process is stopped (SIGSTOP) inside the block, and goes on (SIGCONT) as if nothing had been."""
        pid = self.pid(name)
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def pid(self, name: str) -> int:
        """The process of a program."""
        return int(self.state["services"][name]["pid"])

    def log(self, name: str) -> str:
        """What a program has printed since the stack started."""
        return (self.home / "logs" / f"{name}.log").read_text(errors="replace")


def _without_providers() -> dict[str, str]:
    """Our environment without anybody's keys: this suite breaks stand-ins only."""
    return {name: value for name, value in os.environ.items() if name not in VARIABLES}
