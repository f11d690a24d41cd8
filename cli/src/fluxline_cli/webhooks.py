"""`fluxline webhooks`: what was sent to your addresses, and what it is signed with."""

from typing import Annotated
from uuid import UUID

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
from fluxline_cli.console import console, print_json

app = typer.Typer(help="Webhooks that the gateway sends to you.", no_args_is_help=True)
COLUMNS = (
    ("id", field("id")),
    ("type", field("type")),
    ("status", field("status")),
    ("tries", field("attempts")),
    ("next (UTC)", moment("next_attempt_at")),
)
ATTEMPT_COLUMNS = (
    ("try", field("number")),
    ("at (UTC)", moment("at")),
    ("took", lambda attempt: f"{attempt['duration_ms']} ms"),
    ("outcome", lambda attempt: attempt["status_code"] or attempt["error"]),
    ("answer", field("answer")),
)


@app.command()
def secret(as_json: JsonOption = False) -> None:
    """Show the secret that your webhooks are signed with (Standard Webhooks)."""
    print_facts(ask("GET", "/v1/webhooks/secret"), as_json=as_json)


@app.command()
def rotate(yes: YesOption = False, as_json: JsonOption = False) -> None:
    """Make a new secret; the old one signs along for a day."""
    confirm("Make a new signing secret?", yes=yes)
    print_facts(ask("POST", "/v1/webhooks/secret/rotate"), as_json=as_json)


@app.command()
def deliveries(
    training: Annotated[UUID | None, typer.Option(help="Only those of this training", show_default=False)] = None,
    status: Annotated[str | None, typer.Option(help="pending, delivered or failed", show_default=False)] = None,
    limit: LimitOption = 20,
    as_json: JsonOption = False,
) -> None:
    """List what was sent or is to be sent, newest first."""
    found = ask_list("/v1/webhooks/deliveries", limit, training_id=training, status=status)
    print_items(found, COLUMNS, as_json=as_json, empty="nothing was sent yet")


@app.command()
def delivery(delivery_id: IdArgument, as_json: JsonOption = False) -> None:
    """Show one delivery with each attempt at it."""
    found = ask("GET", f"/v1/webhooks/deliveries/{delivery_id}")
    if as_json:
        print_json(found)
        return
    log = found.pop("log")
    print_facts(found, as_json=False)
    print_items(log, ATTEMPT_COLUMNS, as_json=False, empty="not tried yet")


@app.command()
def redeliver(delivery_id: IdArgument, as_json: JsonOption = False) -> None:
    """Send a delivery once more, under the same webhook id."""
    _tell(ask("POST", f"/v1/webhooks/deliveries/{delivery_id}/redeliver"), as_json=as_json)


@app.command("test")
def send_test(
    url: Annotated[str, typer.Argument(help="A public https address", show_default=False)], as_json: JsonOption = False
) -> None:
    """Send a test webhook to an address."""
    _tell(ask("POST", "/v1/webhooks/test", {"url": url}), as_json=as_json)


def _tell(found: dict[str, object], *, as_json: bool) -> None:
    if as_json:
        print_json(found)
    else:
        console.print(f"delivery {found['id']}: {found['status']}", highlight=False, soft_wrap=True)
