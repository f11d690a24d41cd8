"""What the commands print on, and how a failure looks: what happened and what to do, never a stack trace."""

import asyncio
import json
from collections.abc import Coroutine
from typing import Any, TypeVar

import typer
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel

from fluxline.contracts.errors import FluxlineError
from fluxline_cli.errors import ApiProblem, QueueUnreachable, TrainingFailed, Unreachable, Usage
from fluxline_cli.stack.errors import StackError

T = TypeVar("T")
console = Console()
error_console = Console(stderr=True)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a command to its end; every failure that we understand is printed and ends the process with status 1."""
    try:
        return asyncio.run(work)
    except (StackError, ApiProblem, Unreachable, QueueUnreachable, TrainingFailed, Usage, FluxlineError) as error:
        complain(error)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def complain(error: Exception) -> None:
    """Print a failure on standard error."""
    if isinstance(error, TrainingFailed):
        error_console.print(_card(error))
        return
    _line("[bold red]✗[/] ", str(error))
    for line in error.lines if isinstance(error, ApiProblem) else []:
        _line("  ", line)
    if isinstance(error, StackError) and error.detail:
        _line("", error.detail)
    remedy = error.remedy if isinstance(error, StackError) else getattr(error, "hint", "")
    if remedy:
        _line("[bold]→[/] ", remedy)


def print_json(value: object) -> None:
    """One JSON document on standard output."""
    typer.echo(json.dumps(value, ensure_ascii=False, default=str))


def _line(mark: str, text: str) -> None:
    error_console.print(mark + escape(text), highlight=False, soft_wrap=True)


def _card(failure: TrainingFailed) -> Panel:
    error = failure.error
    again = "trying again can help" if error.get("retryable") else "trying again does not help by itself"
    lines = [
        f"[bold]stage[/]     {escape(str(error.get('stage', 'unknown')))}",
        f"[bold]category[/]  {escape(str(error.get('category', 'unknown')))} ({again})",
        f"[bold]message[/]   {escape(str(error.get('message', failure)))}",
        f"[bold]hint[/]      {escape(str(error.get('hint', '')))}",
    ]
    return Panel("\n".join(lines), title=str(failure), border_style="red")
