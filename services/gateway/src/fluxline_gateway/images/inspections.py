"""Looking at photos in child processes: what a hostile file makes of its decoder stays there, memory included."""

import asyncio
import atexit
import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Final

from fluxline.contracts.errors import ErrorCategory, FluxlineError
from fluxline.images import ImageFacts, ImageRejected

PROCESSES: Final = 2
"""How many images one gateway decodes at a time: each may take up to 2.1 GB, in a process of its own."""
TIMEOUT_S: Final = 60.0
START_TIMEOUT_S: Final = 30.0
MAX_TASKS: Final = 500
"""Of one process: a new one forgets what decoders have leaked."""
THUMBNAILS: Final = 8
"""In the making at a time: the original of each lies on the disk meanwhile."""
_MAX_ANSWER_BYTES: Final = 64 * 1024
_ENVIRONMENT: Final = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LANG", "TMPDIR")
"""All that a decoder needs: of the gateway's secrets it gets none."""
_COMMAND: Final = (sys.executable, "-P", "-m", "fluxline_gateway.images.inspector")


class InspectionFailed(FluxlineError):
    """A photo could not be looked at, for no fault of its own."""

    category = ErrorCategory.INTERNAL


class Inspections:
    """Has photos looked at, a few at a time. Idle processes are kept, for every Inspections of this process.

    A caller that is cancelled ends the process that works for it.
    """

    def __init__(self, processes: int = PROCESSES, *, timeout_s: float = TIMEOUT_S) -> None:
        self.timeout_s = timeout_s
        self.thumbnails = asyncio.Semaphore(THUMBNAILS)
        self._turns = asyncio.Semaphore(processes)

    async def inspect(self, path: Path) -> ImageFacts:
        """The facts of a file that is a photo; raises ImageRejected, and InspectionFailed."""
        facts = (await self._answer(task="inspect", path=str(path)))["facts"]
        lists = {name: tuple(facts[name]) for name in ("warnings", "warning_codes")}
        return ImageFacts(**facts | lists | {"perceptual_hash": bytes.fromhex(facts["perceptual_hash"])})

    async def thumbnail(self, path: Path, target: Path) -> None:
        """Write a photo's thumbnail; raises ImageRejected, and InspectionFailed."""
        await self._answer(task="thumbnail", path=str(path), target=str(target))

    async def _answer(self, **task: str) -> dict[str, Any]:
        async with self._turns:
            try:
                answer = await self._twice(task)
            except TimeoutError as error:
                raise ImageRejected(
                    "too_complex",
                    f"The image could not be decoded within {self.timeout_s:.0f} seconds. Save it again, or smaller.",
                ) from error
            except EOFError as error:
                raise ImageRejected(
                    "truncated", "The file is damaged in a way that no program can read. Export or transfer it again."
                ) from error
        if "rejected" in answer:
            code, reason = answer["rejected"]
            raise ImageRejected(code, reason)
        if "failed" in answer:
            raise InspectionFailed(told=answer["failed"])
        return answer

    async def _twice(self, task: dict[str, str]) -> dict[str, Any]:
        """The answer; a process that dies may have been dead before, or killed for others' memory: a new one tries."""
        try:
            return await self._once(_idle.pop() if _idle else await _Inspector.started(), task)
        except EOFError:
            return await self._once(await _Inspector.started(), task)

    async def _once(self, inspector: "_Inspector", task: dict[str, str]) -> dict[str, Any]:
        try:
            async with asyncio.timeout(self.timeout_s):
                answer = await inspector.answer(task)
        except BaseException:
            inspector.end()
            raise
        if inspector.tasks < MAX_TASKS:
            _idle.append(inspector)
        else:
            inspector.end()
        return answer


class _Inspector:
    """A child process and the line to it. Belongs to no event loop."""

    def __init__(self) -> None:
        self.tasks = 0
        self._line, theirs = socket.socketpair()
        self._line.setblocking(False)
        with theirs:
            self._process = subprocess.Popen(
                (*_COMMAND, str(os.getpid())),
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
            )

    @classmethod
    async def started(cls) -> "_Inspector":
        """One that is ready; raises InspectionFailed."""
        inspector = cls()
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                await inspector._receive()
        except (EOFError, TimeoutError) as error:
            inspector.end()
            raise InspectionFailed("No process that looks at photos could be started.") from error
        except BaseException:
            inspector.end()
            raise
        return inspector

    async def answer(self, task: dict[str, str]) -> dict[str, Any]:
        """What it says; raises EOFError when it dies instead."""
        self.tasks += 1
        try:
            await asyncio.get_running_loop().sock_sendall(self._line, json.dumps(task).encode() + b"\n")
            answer: dict[str, Any] = json.loads(await self._receive())
        except (OSError, ValueError) as error:
            raise EOFError from error
        return answer

    def end(self) -> None:
        """Kill it; a thread sees to the rest, for a large process takes a while to go."""
        self.kill()
        threading.Thread(target=self.wait, daemon=True).start()

    def kill(self) -> None:
        """Make it end, whatever it is doing."""
        self._line.close()
        self._process.kill()

    def wait(self) -> None:
        """Return once it has ended."""
        self._process.wait()

    async def _receive(self) -> bytes:
        """A line without its end."""
        received = b""
        while not received.endswith(b"\n"):
            chunk = await asyncio.get_running_loop().sock_recv(self._line, _MAX_ANSWER_BYTES)
            received += chunk
            if not chunk or len(received) > _MAX_ANSWER_BYTES:
                raise EOFError
        return received[:-1]


_idle: list[_Inspector] = []


@atexit.register
def end_idle() -> None:
    """Let go of the processes that nobody needs at the moment; the next photo starts a new one."""
    while _idle:
        inspector = _idle.pop()
        inspector.kill()
        inspector.wait()
