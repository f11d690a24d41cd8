"""`fluxline debug`: what happened to a training, as lines, as a table of its stages, and in one line."""

from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from fluxline.contracts.narration import STAGE_NAMES, duration_text
from fluxline_cli.calls import plain
from fluxline_cli.client import Client, Json
from fluxline_cli.connection import connect
from fluxline_cli.console import console, print_json, run
from fluxline_cli.live import follow as follow_events
from fluxline_cli.live import history
from fluxline_cli.view import SHOWN_DATA, format_line, level_of, line_of_event

LINE_STYLES: Final = {"debug": "dim", "warning": "yellow", "error": "red"}
STATUS_STYLES: Final = {
    "succeeded": "green",
    "running": "blue",
    "retrying": "yellow",
    "failed": "red",
    "canceled": "dim",
    "pending": "dim",
}


def debug(
    training_id: Annotated[str, typer.Argument(metavar="ID", show_default=False)],
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="The file that --html writes", show_default=False)
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Every event as it happens, until the training ends")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON and nothing else")] = False,
    as_html: Annotated[
        bool, typer.Option("--html", help="Save a report with pictures as one HTML file, like --html report.html")
    ] = False,
) -> None:
    """Show what happened to a training: its log, its stages, what went wrong and what to do."""
    if file and not as_html:
        raise typer.BadParameter("a FILE is for --html alone")
    report = (file or Path(f"fluxline-{training_id}.html")) if as_html else None
    run(_debug(training_id, follow=follow, as_json=as_json, report=report))


async def _debug(training_id: str, *, follow: bool, as_json: bool, report: Path | None) -> None:
    async with connect() as client:
        if follow and not as_json:
            await _follow(client, training_id)
        if report:
            await client.download(f"/v1/trainings/{training_id}/debug/export?format=html", report)
            if not as_json:
                console.print(f"saved {report}", highlight=False, markup=False, soft_wrap=True)
        if as_json or not report:
            _tell(await client.debug(training_id), as_json=as_json, with_log=not follow)


def _tell(summary: Json, *, as_json: bool, with_log: bool) -> None:
    if as_json:
        print_json(summary)
        return
    for entry in summary["log"] if with_log else []:
        _print(entry["level"], _line_of_log(entry))
    print_summary(summary)


async def _follow(client: Client, training_id: str) -> None:
    last = ""
    async for past in history(client, training_id):
        last = str(past["id"])
        _print(level_of(past["type"]), line_of_event(past))
    async for event in follow_events(client, training_id, after=last):
        if event.type != "snapshot":
            _print(level_of(event.type), line_of_event(event.data))


def _line_of_log(entry: dict[str, Any]) -> str:
    fields, facts = {"stage": entry.get("stage"), "message": entry["message"]}, entry["data"]
    if entry["level"] == "error":
        fields |= {name: facts.get(name) for name in ("category", "retryable")}
    return format_line(entry["level"], fields, {name: facts[name] for name in SHOWN_DATA if _is_short(facts.get(name))})


def _is_short(value: object) -> bool:
    return isinstance(value, int | float) or (isinstance(value, str) and 0 < len(value) <= 80)


def _print(level: str, line: str) -> None:
    console.print(line, style=LINE_STYLES.get(level), highlight=False, markup=False, soft_wrap=True)


def print_summary(summary: Json) -> None:
    """The stages as a table, the errors by category, and the diagnosis."""
    if summary["stages"]:
        console.print(_stages(summary["stages"]))
    for name, text in _facts(summary).items():
        console.print(f"[bold]{name}:[/] {escape(plain(text))}", highlight=False, soft_wrap=True)
    style = STATUS_STYLES.get(summary["status"], "default")
    console.print(f"[bold {style}]diagnosis:[/] {escape(plain(summary['diagnosis']))}", highlight=False, soft_wrap=True)
    if trace := summary.get("trace_url") or summary.get("trace_id"):
        console.print(f"[dim]trace: {escape(plain(trace))}[/]", highlight=False, soft_wrap=True)


def _stages(stages: list[Json]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for heading in ("stage", "status"):
        table.add_column(heading)
    for heading in ("attempts", "work", "wait", "total"):
        table.add_column(heading, justify="right", no_wrap=True)
    for stage in stages:
        status = Text(stage["status"], style=STATUS_STYLES.get(stage["status"], ""))
        times = (_time(stage, name) for name in ("work_ms", "wait_ms", "duration_ms"))
        name = plain(STAGE_NAMES.get(stage["stage"], stage["stage"]))
        table.add_row(Text(name), status, str(stage["attempts"]), *times)
    return table


def _time(stage: Json, name: str) -> str:
    """`…` while it is not known yet."""
    value = stage.get(name)
    is_open = stage["status"] in ("running", "retrying") and not value
    return "…" if value is None or is_open else duration_text(value)


def _facts(summary: Json) -> dict[str, str]:
    """What is worth a line of its own, where there is any."""
    counts = ", ".join(f"{category} {count}" for category, count in summary["error_counts"].items())
    again = summary.get("retryable_errors", 0)
    cost = summary.get("cost")
    ids = ", ".join(f"{name} {value}" for name, value in summary.get("provider_ids", {}).items())
    told = {
        "errors": f"{counts} ({again} of them could be tried again)" if counts else "",
        "cost": f"${cost['amount_usd']:.2f} ({cost['basis']})" if cost else "",
        "ids": ids,
    }
    return {name: text for name, text in told.items() if text}
