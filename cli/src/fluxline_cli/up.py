"""`fluxline up`: the local stack in the foreground, until Ctrl-C or SIGTERM."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from fluxline_cli.console import console, run
from fluxline_cli.signals import stop_on_signals, until
from fluxline_cli.stack.layout import Layout, default_home
from fluxline_cli.stack.stack import Stack
from fluxline_cli.startup import StartProgress, print_addresses


class PortChoice(StrEnum):
    """How ports are chosen."""

    FIXED = "fixed"
    AUTO = "auto"


HomeOption = Annotated[
    Path | None, typer.Option("--home", help="Where the stack keeps everything [default: $FLUXLINE_HOME or .fluxline]")
]
SandboxOption = Annotated[
    bool | None,
    typer.Option(
        "--sandbox/--no-sandbox",
        help="Use the sandbox for all providers, or for none [default: for those without a key in the environment]",
    ),
]


def up(
    ports: Annotated[PortChoice, typer.Option(help="8000, 8010 and 8090, or free ones")] = PortChoice.FIXED,
    home: HomeOption = None,
    sandbox: SandboxOption = None,
) -> None:
    """Start the local stack and keep it running until Ctrl-C."""
    layout = Layout(home.absolute() if home else default_home())
    run(_up(layout, auto_ports=ports is PortChoice.AUTO, sandbox=sandbox))


async def _up(layout: Layout, *, auto_ports: bool, sandbox: bool | None) -> None:
    """Start, serve until a signal, stop. Raises StackError."""
    stop = stop_on_signals()
    stack = Stack(layout, auto_ports=auto_ports, sandbox=sandbox)
    console.print(f"providers: {stack.providers.describe()}", highlight=False, soft_wrap=True)
    async with stack:
        with StartProgress(stack):
            await until(stop, stack.start())
        if stack.state:
            print_addresses(stack.state)
            console.print("[dim]Ctrl-C stops it.[/]")
            await until(stop, stack.supervisor.watch())
        console.print("stopping …")
    console.print("stopped")
