"""`fluxline debug`: what happened to a training, as lines and as a summary."""

from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from fluxline_cli.client import Client, Json
from fluxline_cli.connection import connect
from fluxline_cli.console import console, print_json, run
from fluxline_cli.live import follow as follow_events
from fluxline_cli.live import history
from fluxline_cli.view import format_line, line_of_event


def debug(
    training_id: Annotated[str, typer.Argument(metavar="ID", show_default=False)],
    follow: Annotated[
        bool, typer.Option("--follow", help="Every event as it happens, until the training ends")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON and nothing else")] = False,
) -> None:
    """Show what happened to a training: its log, its stages, what went wrong and what to do."""
    run(_debug(training_id, follow=follow, as_json=as_json))


async def _debug(training_id: str, *, follow: bool, as_json: bool) -> None:
    async with connect() as client:
        if follow and not as_json:
            await _follow(client, training_id)
        summary = await client.debug(training_id)
        if as_json:
            print_json(summary)
            return
        if not follow:
            for entry in summary["log"]:
                _print(_line_of_log(entry))
        print_summary(summary)


async def _follow(client: Client, training_id: str) -> None:
    last = ""
    async for past in history(client, training_id):
        last = str(past["id"])
        _print(line_of_event(past))
    async for event in follow_events(client, training_id, after=last):
        if event.type != "snapshot":
            _print(line_of_event(event.data))


def _line_of_log(entry: dict[str, Any]) -> str:
    fields = {"stage": entry.get("stage"), "message": entry["message"]}
    return format_line(entry["level"], fields, {k: v for k, v in entry["data"].items() if _is_short(v)})


def _is_short(value: object) -> bool:
    return isinstance(value, int | float) or (isinstance(value, str) and len(value) <= 80)


def _print(line: str) -> None:
    console.print(line, highlight=False, markup=False, soft_wrap=True)


def print_summary(summary: Json) -> None:
    """The stages as a table, the errors by category, and the diagnosis."""
    table = Table("stage", "status", "attempts", "duration", box=None, padding=(0, 2, 0, 0), header_style="bold")
    for stage in summary["stages"]:
        duration = f"{stage['duration_ms'] / 1000:.1f} s" if stage.get("duration_ms") is not None else "…"
        table.add_row(stage["stage"], stage["status"], str(stage["attempts"]), duration)
    console.print(table)
    if summary["error_counts"]:
        counts = ", ".join(f"{category} {count}" for category, count in summary["error_counts"].items())
        console.print(f"errors: {escape(counts)}", highlight=False)
    console.print(f"[bold]diagnosis:[/] {escape(summary['diagnosis'])}", highlight=False, soft_wrap=True)
    if summary.get("trace_id"):
        console.print(f"[dim]trace {summary['trace_id']}[/]", highlight=False)
