"""`fluxline logs`: what the services logged, about one training or about everything."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

import typer
from rich.text import Text

from fluxline.contracts.logs import LEVELS, TRACEBACK
from fluxline_cli.calls import JsonOption, LimitOption, plain
from fluxline_cli.client import Client, Json
from fluxline_cli.connection import connect
from fluxline_cli.console import console, print_json, run

POLL_S: Final = 1.0
PAGE: Final = 100
_COLOURS: Final = {"debug": "dim", "warning": "yellow", "error": "red", "critical": "bold red"}


def logs(
    training_id: Annotated[uuid.UUID | None, typer.Argument(metavar="[ID]", show_default=False)] = None,
    level: Annotated[str | None, typer.Option(help=f"This one and above: {', '.join(LEVELS)}")] = None,
    service: Annotated[str | None, typer.Option(help="Only this service")] = None,
    query: Annotated[str | None, typer.Option("--query", "-q", help="A part of the event or of a field")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is logged from now on")] = False,
    limit: LimitOption = 200,
    as_json: JsonOption = False,
) -> None:
    """Show what the services logged about a training, the newest last; without an ID about everything.

    Without an ID it needs a key with the scope admin.
    """
    path = f"/v1/trainings/{training_id}/debug/logs" if training_id else "/v1/admin/logs"
    wanted = {name: value for name, value in (("level", level), ("service", service), ("q", query)) if value}
    run(_show(path, limit, wanted, follow=follow, as_json=as_json))


async def _show(path: str, limit: int, wanted: Json, *, follow: bool, as_json: bool) -> None:
    async with connect() as client:
        newest = [entry async for entry in client.pages(path, limit, order="newest", **wanted)]
        for entry in reversed(newest):
            _print(entry, as_json=as_json)
        if not newest and not follow and not as_json:
            console.print("nothing was logged")
        if follow:
            async for entry in _later(client, path, newest[0]["id"] if newest else None, wanted):
                _print(entry, as_json=as_json)


async def _later(client: Client, path: str, last: str | None, wanted: Json) -> AsyncIterator[Json]:
    """What is logged after the entry `last`, for ever."""
    while True:
        page = await client.get(path, order="oldest", limit=PAGE, cursor=last, **wanted)
        for entry in page["items"]:
            yield entry
            last = entry["id"]
        if not page.get("next_cursor"):
            await asyncio.sleep(POLL_S)


def _print(entry: Json, *, as_json: bool) -> None:
    if as_json:
        print_json(entry)
        return
    console.print(line_of(entry), highlight=False, soft_wrap=True)
    for line in str(entry["fields"].get(TRACEBACK) or "").splitlines():
        console.print(Text(f"    {plain(line)}", style="dim"), highlight=False, soft_wrap=True)


def line_of(entry: Json) -> Text:
    """An entry as one line: time (UTC), level, service, event, fields."""
    at = str(entry["at"]).replace("T", " ").removesuffix("Z").partition("+")[0][:23]
    fields = {name: value for name, value in entry["fields"].items() if name != TRACEBACK}
    told = " ".join(f"{plain(name)}={_shown(value)}" for name, value in fields.items())
    return Text.assemble(
        (at, "dim"),
        " ",
        (f"{entry['level']:<8}", _COLOURS.get(entry["level"], "")),
        f" {plain(entry['service']):<10} ",
        (plain(entry["event"]), "bold"),
        f" {told}" if told else "",
    )


def _shown(value: Any) -> str:
    text = plain(value)
    return f'"{text}"' if " " in text or not text else text
