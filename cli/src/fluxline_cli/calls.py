"""What most commands are: one call of the API, its answer as JSON or as a table for people."""

import json
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer
from rich.markup import escape
from rich.table import Table

from fluxline_cli.client import Json
from fluxline_cli.connection import connect
from fluxline_cli.console import console, print_json, run

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else")]
LimitOption = Annotated[int, typer.Option(min=1, max=10_000, help="How many at most")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask")]
TargetOption = Annotated[Path | None, typer.Option("--output", "-o", help="The file to write", show_default=False)]
IdArgument = Annotated[uuid.UUID, typer.Argument(metavar="ID", show_default=False)]
Column: TypeAlias = tuple[str, Callable[[Json], object]]
"""A heading, and what stands under it for an item."""


def ask(method: str, path: str, body: Json | None = None, **parameters: Any) -> Any:
    """The answer to one call; one that creates is safe to be sent again when its answer was lost."""
    return run(_ask(method, path, body, parameters))


async def _ask(method: str, path: str, body: Json | None, parameters: dict[str, Any]) -> Any:
    headers = {"Idempotency-Key": str(uuid.uuid4())} if method == "POST" else {}
    given = {name: value for name, value in parameters.items() if value is not None}
    async with connect() as client:
        answer = await client.request(method, path, json=body, params=given, headers=headers)
    return answer.json() if answer.content else {}


def ask_list(path: str, limit: int, **parameters: Any) -> list[Json]:
    """The items of a list, over as many pages as it takes."""
    return run(_ask_list(path, limit, parameters))


async def _ask_list(path: str, limit: int, parameters: dict[str, Any]) -> list[Json]:
    async with connect() as client:
        return [item async for item in client.pages(path, limit, **parameters)]


def save(path: str, target: Path) -> None:
    """Write what the API has at `path` to a file."""
    run(_save(path, target))
    console.print(f"saved {target}", highlight=False, markup=False, soft_wrap=True)


async def _save(path: str, target: Path) -> None:
    async with connect() as client:
        await client.download(path, target)


def print_items(items: Sequence[Json], columns: Sequence[Column], *, as_json: bool, empty: str) -> None:
    """A table with a row for each item; `empty` is said when there is none. Ids are never cut."""
    if as_json:
        print_json(items)
        return
    if not items:
        console.print(empty)
        return
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for heading, _ in columns:
        table.add_column(heading, overflow="fold", no_wrap=heading == "id")
    for item in items:
        table.add_row(*(escape(plain(value(item))) for _, value in columns))
    console.print(table)


def print_facts(item: Json, *, as_json: bool) -> None:
    """One thing: a line for each of its facts that says something."""
    if as_json:
        print_json(item)
        return
    width = max(map(len, item), default=0)
    for name, value in item.items():
        if value not in (None, "", [], {}):
            console.print(f"[bold]{name:<{width}}[/]  {escape(plain(value))}", highlight=False, soft_wrap=True)


def confirm(question: str, *, yes: bool) -> None:
    """Ask unless told not to; the command ends when the answer is no."""
    if not yes:
        typer.confirm(question, abort=True, err=True)


def plain(value: object) -> str:
    """A value on one line that cannot move the cursor."""
    match value:
        case None:
            text = ""
        case bool():
            text = "yes" if value else "no"
        case float():
            text = f"{value:.6g}"
        case list() if all(isinstance(each, str) for each in value):
            text = ", ".join(value)
        case dict() | list():
            text = json.dumps(value, ensure_ascii=False)
        case _:
            text = str(value)
    return "".join(char if char.isprintable() else " " for char in text)


def field(name: str) -> Callable[[Json], object]:
    """The column of a field."""
    return lambda item: item.get(name)


def moment(name: str) -> Callable[[Json], object]:
    """The column of a time: to the second, as the gateway has it (UTC)."""
    return lambda item: str(item.get(name) or "").partition(".")[0].replace("T", " ").removesuffix("Z")


def size(name: str) -> Callable[[Json], object]:
    """The column of a size in bytes."""
    return lambda item: f"{item[name] / 1024**2:.1f} MB"
