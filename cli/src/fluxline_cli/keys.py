"""`fluxline keys`: API keys: your own by the API, or any owner's by the gateway's database, as for the first one."""

import os
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from fluxline_cli.account import KEY_COLUMNS, ask_for_key, print_new_key
from fluxline_cli.calls import (
    IdArgument,
    JsonOption,
    LimitOption,
    YesOption,
    ask,
    ask_list,
    confirm,
    field,
    print_facts,
    print_items,
)
from fluxline_cli.client import Json
from fluxline_cli.console import console, run
from fluxline_cli.stack import api_keys
from fluxline_cli.stack.credentials import Credentials
from fluxline_cli.stack.layout import Layout, default_home
from fluxline_cli.stack.state import read_state

app = typer.Typer(help="API keys: list, show, create, revoke.", no_args_is_help=True)
OF_OWNER = "by the gateway's database (DATABASE_URL, or the stack that runs here) instead of the API"
OwnerOption = Annotated[str | None, typer.Option(help=f"Whose key it is, like `alice`; {OF_OWNER}")]
DatabaseOption = Annotated[bool, typer.Option("--database", help=f"Of any owner, {OF_OWNER}")]


@app.command()
def create(
    owner: OwnerOption = None,
    name: Annotated[str, typer.Option(help="What the key is for; required without --owner")] = "",
    scope: Annotated[list[str] | None, typer.Option(help="read, write or admin; may be repeated")] = None,
    expires_days: Annotated[int | None, typer.Option(min=1, max=36_500, help="When the key ends, in days")] = None,
    as_json: JsonOption = False,
) -> None:
    """Make an API key and print it; it is shown only now.

    Without --owner it is your own, made with the key that you use, and can do no more than that one.
    """
    if owner is not None:
        made = run(_create(owner, name, scope or [], expires_days))
        print_new_key(made, as_json=as_json)
        return
    if not name:
        raise typer.BadParameter("say what the key is for, or whose it is with --owner", param_hint="--name")
    expires_at = datetime.now(UTC) + timedelta(days=expires_days) if expires_days else None
    print_new_key(ask_for_key("/v1/keys", name, scope, expires_at), as_json=as_json)


@app.command("list")
def list_(
    owner: OwnerOption = None, database: DatabaseOption = False, limit: LimitOption = 100, as_json: JsonOption = False
) -> None:
    """List API keys; the keys themselves are stored nowhere."""
    if not database and owner is None:
        print_items(ask_list("/v1/keys", limit), KEY_COLUMNS, as_json=as_json, empty="no keys yet")
        return
    found = run(_list(owner))[-limit:][::-1]
    columns = [column for column in KEY_COLUMNS if column[0] in ("id", "name", "scopes", "ends")]
    print_items(found, [*columns, ("owner", field("owner"))], as_json=as_json, empty="no keys yet")


@app.command()
def show(key_id: IdArgument, as_json: JsonOption = False) -> None:
    """Show one of your keys: what it may do, when it was last used, when it ends."""
    print_facts(ask("GET", f"/v1/keys/{key_id}"), as_json=as_json)


@app.command()
def revoke(key_id: IdArgument, database: DatabaseOption = False, yes: YesOption = False) -> None:
    """End an API key; gateways notice within ten seconds."""
    confirm(f"Revoke key {key_id}?", yes=yes)
    if database:
        run(_revoke(str(key_id)))
    else:
        ask("DELETE", f"/v1/keys/{key_id}")
    console.print(f"key {key_id} is revoked", highlight=False)


async def _create(owner: str, name: str, scopes: list[str], expires_days: int | None) -> Json:
    return await api_keys.create_key(_environment(), owner, name=name, scopes=scopes, expires_days=expires_days)


async def _list(owner: str | None) -> list[Json]:
    return await api_keys.list_keys(_environment(), owner)


async def _revoke(key_id: str) -> None:
    await api_keys.revoke_key(_environment(), key_id)


def _environment() -> dict[str, str]:
    """With the gateway's DATABASE_URL if it is set, else that of the stack that runs here."""
    return {**os.environ, "DATABASE_URL": os.environ.get("DATABASE_URL") or _database_url()}


def _database_url() -> str:
    layout = Layout(default_home())
    port = int(read_state(layout).postgres_url.rsplit(":", 1)[1].split("/")[0])
    return Credentials.of(layout.credentials_file).database_url("gateway", port)
