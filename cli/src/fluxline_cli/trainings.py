"""`fluxline trainings`: list them, look at one, estimate one, follow one, take its record along."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from fluxline.contracts import limits
from fluxline_cli.calls import (
    IdArgument,
    JsonOption,
    LimitOption,
    TargetOption,
    ask,
    ask_list,
    field,
    moment,
    print_facts,
    print_items,
    save,
)
from fluxline_cli.client import Json
from fluxline_cli.connection import connect
from fluxline_cli.console import console, print_json, run
from fluxline_cli.live import follow as follow_events
from fluxline_cli.live import history
from fluxline_cli.timeline import print_timeline
from fluxline_cli.view import line_of_event

app = typer.Typer(help="Trainings; without a command they are listed.", invoke_without_command=True)
StatusOption = Annotated[str | None, typer.Option(help="Only those with this status", show_default=False)]
QueryOption = Annotated[str | None, typer.Option("--query", "-q", help="A part of the name", show_default=False)]
COLUMNS = (
    ("id", field("id")),
    ("name", field("name")),
    ("status", field("status")),
    ("done", lambda training: f"{training['progress']:.0f} %"),
    ("created (UTC)", moment("created_at")),
)


@app.callback()
def trainings(
    context: typer.Context,
    status: StatusOption = None,
    query: QueryOption = None,
    limit: LimitOption = 20,
    as_json: JsonOption = False,
) -> None:
    """List trainings, newest first; or one of the commands below."""
    if context.invoked_subcommand is None:
        list_trainings(status, query, limit, as_json)


@app.command("list")
def list_trainings(
    status: StatusOption = None, query: QueryOption = None, limit: LimitOption = 20, as_json: JsonOption = False
) -> None:
    """List trainings, newest first."""
    found = ask_list("/v1/trainings", limit, status=status, q=query)
    print_items(found, COLUMNS, as_json=as_json, empty="no trainings yet")


@app.command()
def show(training_id: IdArgument, as_json: JsonOption = False) -> None:
    """Show one training as it stands."""
    print_facts(ask("GET", f"/v1/trainings/{training_id}"), as_json=as_json)


@app.command()
def estimate(
    images: Annotated[int, typer.Option(min=limits.MIN_IMAGES, max=limits.MAX_IMAGES, help="How many photos")] = 10,
    steps: Annotated[int, typer.Option(min=limits.STEPS[0], max=limits.STEPS[1])] = limits.DEFAULT_STEPS,
    lora_rank: Annotated[int, typer.Option(min=limits.LORA_RANK[0], max=limits.LORA_RANK[1])] = (
        limits.DEFAULT_LORA_RANK
    ),
    resolution: Annotated[str, typer.Option(help="One to three of 512, 768 and 1024")] = limits.DEFAULT_RESOLUTION,
    as_json: JsonOption = False,
) -> None:
    """Say what a training would cost and how long it would take, and what that assumes."""
    body = {"image_count": images, "steps": steps, "lora_rank": lora_rank, "resolution": resolution}
    found = ask("POST", "/v1/trainings/estimate", body)
    if as_json:
        print_json(found)
    else:
        print_estimate(found)


def print_estimate(found: Json) -> None:
    """Cost and time as ranges, and what they rest on."""
    console.print(f"cost  {_dollars(found['cost_usd'])}", highlight=False)
    console.print(f"time  {_minutes(found['duration_s'])}", highlight=False)
    for text in found["assumptions"]:
        console.print(f"  · {escape(text)}", highlight=False, style="dim", soft_wrap=True)
    for text in found.get("warnings", []):
        console.print(f"  [yellow]![/] {escape(text)}", highlight=False, soft_wrap=True)


def _dollars(spread: Json) -> str:
    return f"${spread['likely']:.2f} (${spread['low']:.2f} to ${spread['high']:.2f})"


def _minutes(spread: Json) -> str:
    likely, low, high = (spread[name] / 60 for name in ("likely", "low", "high"))
    return f"{likely:.0f} min ({low:.0f} to {high:.0f})"


@app.command()
def events(
    training_id: IdArgument,
    follow: Annotated[bool, typer.Option("--follow", help="Go on until the training ends")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line")] = False,
) -> None:
    """Show every event of a training, and those to come."""
    run(_events(str(training_id), follow=follow, as_json=as_json))


async def _events(training_id: str, *, follow: bool, as_json: bool) -> None:
    last = ""
    async with connect() as client:
        async for event in history(client, training_id):
            last = str(event["id"])
            _tell(event, as_json=as_json)
        if follow:
            async for live in follow_events(client, training_id, after=last or "0"):
                if live.type != "snapshot":
                    _tell(live.data, as_json=as_json)


def _tell(event: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(event)
    else:
        console.print(line_of_event(event), highlight=False, markup=False, soft_wrap=True)


@app.command()
def ticket(training_id: IdArgument, as_json: JsonOption = False) -> None:
    """Print an address that follows one training for an hour without a key, for a browser's EventSource."""
    print_facts(ask("POST", f"/v1/trainings/{training_id}/events/ticket"), as_json=as_json)


@app.command()
def export(
    training_id: IdArgument,
    output: TargetOption = None,
    as_html: Annotated[bool, typer.Option("--html", help="A report with pictures instead, as one HTML file")] = False,
) -> None:
    """Save every event of a training with its headers, one JSON object a line."""
    kind = "html" if as_html else "ndjson"
    path = f"/v1/trainings/{training_id}/debug/export?format={kind}"
    save(path, output or Path(f"{training_id}.{kind}"))


@app.command()
def timeline(training_id: IdArgument, as_json: JsonOption = False) -> None:
    """Show what happened to a training in the order of time, and how long nothing did."""
    found = ask("GET", f"/v1/trainings/{training_id}/debug/timeline")
    if as_json:
        print_json(found)
    else:
        print_timeline(found)
