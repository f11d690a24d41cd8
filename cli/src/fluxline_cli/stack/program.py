"""A program of the stack: how it is started, and when it is ready."""

import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx

HEALTH_TIMEOUT_S = 3.0
Ready = Callable[[httpx.AsyncClient, int], Awaitable[bool]]
"""Whether the program with this process id serves requests."""


@dataclass(frozen=True)
class Program:
    """A process to keep running. `user` is whom it runs as when we are root (empty: as we do)."""

    name: str
    command: tuple[str, ...]
    env: Mapping[str, str] = field(repr=False)
    ready: Ready
    health_url: str | None
    user: str = ""
    stop_signal: signal.Signals = signal.SIGTERM


def python_module(module: str, *arguments: str) -> tuple[str, ...]:
    """The command that runs a module with this Python."""
    return (sys.executable, "-m", module, *arguments)


def script(name: str) -> str:
    """The path of an executable that a wheel put beside this Python; raises FileNotFoundError with the remedy."""
    path = Path(sys.executable).parent / name
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: install fluxline anew (`make setup`)")
    return str(path)


def answers(url: str) -> Ready:
    """Ready once `url` answers 200."""

    async def ready(http: httpx.AsyncClient, _pid: int) -> bool:
        try:
            return (await http.get(url, timeout=HEALTH_TIMEOUT_S)).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    return ready
