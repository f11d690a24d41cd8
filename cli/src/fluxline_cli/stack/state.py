"""Whether a stack runs on a home, and what it says of itself in `stack.json`."""

import fcntl
import json
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import psutil  # type: ignore[import-untyped]  # it has no stubs of its own

from fluxline_cli.stack.errors import StackError
from fluxline_cli.stack.files import write_private
from fluxline_cli.stack.layout import Layout

MARK = "FLUXLINE_STACK"
"""The environment variable that says to which home a process belongs."""


class ProgramState(TypedDict):
    """One process of the stack; `health_url` is null for PostgreSQL, which does not speak HTTP."""

    pid: int
    health_url: str | None


@dataclass(frozen=True)
class StackState:
    """The contents of `stack.json`; addresses end without a slash, `postgres_url` is the superuser's."""

    home: str
    gateway_url: str
    studio_url: str | None
    collector_url: str
    sandbox_url: str | None
    nats_url: str
    postgres_url: str
    api_key: str
    collector_token: str
    services: dict[str, ProgramState]

    def write(self, path: Path) -> None:
        """Replace the file at once; only its owner may read it."""
        write_private(path, json.dumps(self.__dict__, indent=2))


def read_state(layout: Layout) -> StackState:
    """What the stack that runs on this home says; raises StackError when none does."""
    if running_pid(layout) is None or not layout.state_file.exists():
        raise StackError(f"no stack runs on {layout.home}", remedy="start one with `fluxline up`")
    stored: dict[str, Any] = json.loads(layout.state_file.read_text())
    return StackState(**stored)


class HomeLock:
    """One stack on a home: held for the life of the process, released by the kernel however it ends."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._file = os.open(layout.lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def __enter__(self) -> "HomeLock":
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.pread(self._file, 20, 0).decode().strip()
            os.close(self._file)
            raise StackError(
                f"a stack runs already on {self._layout.home} (process {pid})",
                remedy="use it (`fluxline status`), end it with Ctrl-C, or choose another --home",
            ) from None
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)
        clean_leftovers(self._layout)
        return self

    def __exit__(self, *_exc: object) -> None:
        self._layout.state_file.unlink(missing_ok=True)
        os.ftruncate(self._file, 0)
        os.close(self._file)


def running_pid(layout: Layout) -> int | None:
    """The process id of the stack that holds this home, if one does."""
    try:
        file = os.open(layout.lock_file, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return int(os.pread(file, 20, 0).decode().strip() or 0)
    finally:
        os.close(file)
    return None


def clean_leftovers(layout: Layout) -> None:
    """End what a killed stack left running (systems without PR_SET_PDEATHSIG), and forget its state."""
    for process in processes_of(layout.home):
        process.send_signal(signal.SIGKILL)
    layout.state_file.unlink(missing_ok=True)


def processes_of(home: Path) -> list[psutil.Process]:
    """Every process of ours that was started for this home."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == str(home):
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found
