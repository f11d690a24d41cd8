"""`fluxline keys`: API keys of the gateway of the local stack."""

import os
from typing import Annotated

import typer

from fluxline_cli.console import print_json, run
from fluxline_cli.stack.api_keys import create_key
from fluxline_cli.stack.credentials import Credentials
from fluxline_cli.stack.layout import Layout, default_home
from fluxline_cli.stack.state import read_state

app = typer.Typer(help="API keys of the gateway.", no_args_is_help=True)


@app.callback()
def keys() -> None:
    """API keys of the gateway."""


@app.command()
def create(
    owner: Annotated[str, typer.Option(help="Whose key it is, like `alice`")],
    as_json: Annotated[bool, typer.Option("--json", help="Print key, id and owner as JSON")] = False,
) -> None:
    """Make an API key and print it; it is shown only now."""
    run(_create(owner, as_json=as_json))


async def _create(owner: str, *, as_json: bool) -> None:
    """With the gateway's DATABASE_URL if it is set, else with the stack that runs here."""
    url = os.environ.get("DATABASE_URL") or _database_url()
    created = await create_key({**os.environ, "DATABASE_URL": url}, owner)
    if as_json:
        print_json(created)
    else:
        typer.echo(created["key"])


def _database_url() -> str:
    layout = Layout(default_home())
    port = int(read_state(layout).postgres_url.rsplit(":", 1)[1].split("/")[0])
    return Credentials.of(layout.credentials_file).database_url("gateway", port)
