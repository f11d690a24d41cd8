"""What a person sees while the stack starts, and once it is ready."""

import time
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from rich.live import Live
from rich.table import Table

from fluxline_cli.console import console
from fluxline_cli.stack.stack import Stack
from fluxline_cli.stack.state import StackState
from fluxline_cli.stack.topology import program_names

REFRESH_PER_S = 8


class StartProgress:
    """A table of the programs that fills up; on something that is no terminal, one line at the end."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._started = time.monotonic()
        self._live = Live(get_renderable=self._table, console=console, refresh_per_second=REFRESH_PER_S, transient=True)

    def __enter__(self) -> Self:
        if console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if console.is_terminal:
            self._live.stop()
        if self._stack.state:
            console.print(f"[bold green]✓[/] ready after {time.monotonic() - self._started:.1f} s", highlight=False)

    def _table(self) -> Table:
        table = Table(box=None, padding=(0, 1))
        programs = self._stack.supervisor.programs
        for name in program_names(sandbox=self._stack.providers.needs_sandbox):
            supervised = programs.get(name)
            ready = supervised is not None and supervised.is_ready
            mark = "[green]●[/]" if ready else "[yellow]◐[/]" if supervised else "[dim]○[/]"
            table.add_row(mark, name, "ready" if ready else "starting" if supervised else "waits")
        table.add_row("", "", f"[dim]{time.monotonic() - self._started:.1f} s[/]")
        return table


def print_addresses(state: StackState) -> None:
    """Where everything is."""
    table = Table(box=None, show_header=False, padding=(0, 1))
    addresses = {
        "API": f"{state.gateway_url}/docs",
        "collector": state.collector_url,
        "sandbox": state.sandbox_url,
        "NATS": f"nats://{urlsplit(state.nats_url).netloc.rpartition('@')[2]}",
        "API key": f"{state.home}/stack.json",
        "logs": f"{state.home}/logs",
    }
    for name, address in addresses.items():
        if address:
            table.add_row(f"[bold]{name}[/]", address)
    console.print(table)
