"""`fluxline limits`, `fluxline status`: short looks at what is there."""

import asyncio
from typing import Annotated

import httpx
import typer
from rich.table import Table

from fluxline_cli.connection import connect
from fluxline_cli.console import console, print_json, run
from fluxline_cli.stack.layout import Layout, default_home
from fluxline_cli.stack.state import ProgramState, read_state

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else")]
HEALTH_TIMEOUT_S = 3.0


def limits() -> None:
    """Show what the gateway accepts, as JSON."""
    run(_limits())


async def _limits() -> None:
    async with connect() as client:
        print_json(await client.get("/v1/limits"))


def status(as_json: JsonOption = False) -> None:
    """Show whether the local stack runs, and each of its processes."""
    run(_status(as_json=as_json))


async def _status(*, as_json: bool) -> None:
    state = read_state(Layout(default_home()))
    async with httpx.AsyncClient(trust_env=False, timeout=HEALTH_TIMEOUT_S) as http:
        health = await asyncio.gather(*(_health(http, program) for program in state.services.values()))
    if as_json:
        print_json(
            {
                name: {**program, "health": word}
                for (name, program), word in zip(state.services.items(), health, strict=True)
            }
        )
        return
    table = Table("program", "process", "health", "address", box=None, header_style="bold")
    for (name, program), word in zip(state.services.items(), health, strict=True):
        table.add_row(name, str(program["pid"]), word, program["health_url"] or "")
    console.print(table)


async def _health(http: httpx.AsyncClient, program: ProgramState) -> str:
    if program["health_url"] is None:
        return "running"
    try:
        answer = await http.get(program["health_url"])
    except httpx.TransportError:
        return "does not answer"
    return "ready" if answer.is_success else "not ready"
