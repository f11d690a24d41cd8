"""`fluxline me`, `fluxline audit`, `fluxline admin`: who you are, what keys did, and what owners may do."""

from datetime import datetime
from typing import Annotated
from urllib.parse import quote

import typer

from fluxline_cli.calls import (
    IdArgument,
    JsonOption,
    LimitOption,
    YesOption,
    ask,
    ask_list,
    confirm,
    field,
    moment,
    print_facts,
    print_items,
)
from fluxline_cli.client import Json
from fluxline_cli.console import console
from fluxline_cli.errors import Usage

admin = typer.Typer(help="Owners, their limits and their keys; needs a key with the scope admin.", no_args_is_help=True)
OwnerArgument = Annotated[str, typer.Argument(metavar="OWNER", show_default=False)]
Scopes = Annotated[list[str] | None, typer.Option("--scope", help="read, write or admin; may be repeated")]
ExpiresAt = Annotated[datetime | None, typer.Option(help="When the key ends (UTC)", show_default=False)]
KEY_COLUMNS = (
    ("id", field("id")),
    ("begins", field("hint")),
    ("name", field("name")),
    ("scopes", field("scopes")),
    ("last used", lambda key: str(key["last_used_at"] or "")[:10]),
    ("ends", lambda key: "revoked" if key["revoked_at"] else str(key["expires_at"] or "")[:10]),
)
AUDIT_COLUMNS = (
    ("at (UTC)", moment("at")),
    ("status", field("status")),
    ("call", lambda entry: f"{entry['method']} {entry['path']}"),
    ("key", lambda entry: str(entry["key_id"] or "")[:8]),
    ("from", field("client")),
)
OWNER_COLUMNS = (
    ("owner", field("owner")),
    ("running", field("running")),
    ("trainings", field("trainings")),
    ("spent", lambda owner: f"${owner['spend']['spent_usd']:.2f}"),
    ("cap", lambda owner: f"${owner['spend_cap_usd']:.2f}" if owner["spend_cap_usd"] is not None else ""),
)


def me(as_json: JsonOption = False) -> None:
    """Show whom your key speaks for, what it may do, and what was spent this month."""
    print_facts(ask("GET", "/v1/me"), as_json=as_json)


def audit(limit: LimitOption = 50, as_json: JsonOption = False) -> None:
    """List what your keys changed, and what was refused, newest first."""
    print_items(ask_list("/v1/audit", limit), AUDIT_COLUMNS, as_json=as_json, empty="nothing yet")


@admin.command()
def owners(limit: LimitOption = 100, as_json: JsonOption = False) -> None:
    """List the owners."""
    print_items(ask_list("/v1/admin/owners", limit), OWNER_COLUMNS, as_json=as_json, empty="no owners yet")


@admin.command()
def owner(name: OwnerArgument, as_json: JsonOption = False) -> None:
    """Show one owner's limits and use."""
    print_facts(ask("GET", _path(name)), as_json=as_json)


@admin.command("set-limits")
def set_limits(
    name: OwnerArgument,
    spend_cap_usd: Annotated[str | None, typer.Option(help="US dollars a month; `none` for the default")] = None,
    max_running: Annotated[str | None, typer.Option(help="Trainings at once; `none` for the default")] = None,
    requests_per_minute: Annotated[str | None, typer.Option(help="Calls a minute; `none` for the default")] = None,
    as_json: JsonOption = False,
) -> None:
    """Change what an owner may do; what is not named stays as it is."""
    given = {
        "spend_cap_usd": spend_cap_usd,
        "max_running": max_running,
        "requests_per_minute": requests_per_minute,
    }
    body = {option: _limit(option, text) for option, text in given.items() if text is not None}
    if not body:
        raise typer.BadParameter("name at least one limit")
    print_facts(ask("PATCH", _path(name), body), as_json=as_json)


def _limit(option: str, text: str) -> float | int | None:
    if text.lower() == "none":
        return None
    try:
        return float(text) if option == "spend_cap_usd" else int(text)
    except ValueError:
        raise typer.BadParameter(f"--{option.replace('_', '-')}: {text!r} is no number, and not `none`") from None


@admin.command()
def keys(name: OwnerArgument, limit: LimitOption = 50, as_json: JsonOption = False) -> None:
    """List an owner's keys."""
    print_items(ask_list(f"{_path(name)}/keys", limit), KEY_COLUMNS, as_json=as_json, empty="no keys yet")


@admin.command("create-key")
def create_key(
    owner_name: OwnerArgument,
    name: Annotated[str, typer.Option(help="What the key is for")],
    scopes: Scopes = None,
    expires_at: ExpiresAt = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key for an owner and print it; it is shown only now."""
    print_new_key(ask_for_key(f"{_path(owner_name)}/keys", name, scopes, expires_at), as_json=as_json)


@admin.command()
def key(key_id: IdArgument, as_json: JsonOption = False) -> None:
    """Show a key of any owner."""
    print_facts(ask("GET", f"/v1/admin/keys/{key_id}"), as_json=as_json)


@admin.command("revoke-key")
def revoke_key(key_id: IdArgument, yes: YesOption = False) -> None:
    """End a key of any owner."""
    confirm(f"Revoke key {key_id}?", yes=yes)
    ask("DELETE", f"/v1/admin/keys/{key_id}")
    console.print(f"key {key_id} is revoked", highlight=False)


@admin.command("audit")
def audit_of(
    owner_name: Annotated[str | None, typer.Option("--owner", help="Only this owner's calls")] = None,
    limit: LimitOption = 50,
    as_json: JsonOption = False,
) -> None:
    """List what keys changed, and what was refused, newest first."""
    found = ask_list("/v1/admin/audit", limit, owner=owner_name)
    print_items(found, (*AUDIT_COLUMNS, ("owner", field("owner"))), as_json=as_json, empty="nothing yet")


def ask_for_key(path: str, name: str, scopes: list[str] | None, expires_at: datetime | None) -> Json:
    """A new key, with its secret."""
    body: Json = {"name": name}
    if scopes:
        body["scopes"] = scopes
    if expires_at:
        body["expires_at"] = expires_at.isoformat() + ("" if expires_at.tzinfo else "Z")
    key: Json = ask("POST", path, body)
    return key


def print_new_key(key: Json, *, as_json: bool) -> None:
    """A key that nobody can show again."""
    if as_json:
        print_facts(key, as_json=True)
    else:
        typer.echo(key["key"])


def _path(owner_name: str) -> str:
    if owner_name in (".", ".."):
        raise Usage(f"{owner_name!r} is no owner")
    return f"/v1/admin/owners/{quote(owner_name, safe='')}"
