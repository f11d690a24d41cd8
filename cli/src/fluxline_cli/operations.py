"""`fluxline admin health` and the dead letters over HTTP: what `fluxline dlq` does for who cannot reach NATS."""

from typing import Annotated, Final

import typer

from fluxline_cli import account
from fluxline_cli.calls import (
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
from fluxline_cli.console import console, print_json

app = account.admin
LETTERS: Final = "/v1/admin/dead-letters"
Number = Annotated[int, typer.Argument(metavar="NUMBER", min=1, help="As `admin dead-letters` shows it")]
LETTER_COLUMNS: Final = (
    ("number", field("number")),
    ("consumer", field("durable")),
    ("message", field("subject")),
    ("tries", field("attempts")),
    ("since (UTC)", moment("buried_at")),
    ("why", lambda letter: f"{letter['category']}: {letter['reason']}"),
)
HEALTH_COLUMNS: Final = (
    ("service", field("service")),
    ("consumer", field("durable")),
    ("listening", lambda consumer: "yes" if consumer["listening"] else "no"),
    ("waiting", field("pending")),
    ("in flight", field("in_flight")),
    ("last delivery (UTC)", moment("last_active")),
)


@app.command("health")
def health(as_json: JsonOption = False) -> None:
    """Show which services listen, and how many messages wait for each."""
    found = ask("GET", "/v1/admin/health")
    if as_json:
        print_json(found)
        return
    rows: list[Json] = [
        consumer | {"service": service["service"]} for service in found["services"] for consumer in service["consumers"]
    ]
    print_items(rows, HEALTH_COLUMNS, as_json=False, empty="no services")


@app.command("dead-letters")
def dead_letters(
    durable: Annotated[str | None, typer.Option(help="Only those of this consumer", show_default=False)] = None,
    limit: LimitOption = 50,
    as_json: JsonOption = False,
) -> None:
    """List the messages that a service gave up on, oldest first."""
    found = ask_list(LETTERS, limit, durable=durable)
    print_items(found, LETTER_COLUMNS, as_json=as_json, empty="no dead letters")


@app.command("dead-letter")
def dead_letter(number: Number, as_json: JsonOption = False) -> None:
    """Show one dead letter with its message."""
    print_facts(ask("GET", f"{LETTERS}/{number}"), as_json=as_json)


@app.command("replay")
def replay(number: Number, as_json: JsonOption = False) -> None:
    """Publish a dead letter's message again."""
    print_facts(ask("POST", f"{LETTERS}/{number}/replay"), as_json=as_json)


@app.command("drop")
def drop(number: Number, yes: YesOption = False) -> None:
    """Remove a dead letter and its message for good."""
    confirm(f"Drop dead letter {number} and its message?", yes=yes)
    ask("DELETE", f"{LETTERS}/{number}")
    console.print(f"dead letter {number} is dropped", highlight=False)
