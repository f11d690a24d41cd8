"""`fluxline alerts`: what the rules have found, which rules there are, and whether their notices arrive."""

from typing import Annotated, Final

import typer
from rich.text import Text

from fluxline_cli.calls import JsonOption, LimitOption, ask, ask_list, field, moment, plain, print_items
from fluxline_cli.client import Json
from fluxline_cli.console import console, error_console, print_json

app = typer.Typer(help="Alerts about failing, stuck and late jobs (scope admin).", no_args_is_help=True)
PATH: Final = "/v1/admin/alerts"
NO_CHANNEL: Final = "no channel is configured"
REMEDY: Final = "set COLLECTOR_ALERT_URLS of the debug-collector as docs/alerts.md says, and restart it"
CORRECT: Final = (
    "correct the channel's address in COLLECTOR_ALERT_URLS (docs/alerts.md), and restart the debug-collector"
)
COLUMNS: Final = (
    ("id", field("id")),
    ("severity", field("severity")),
    ("status", field("status")),
    ("what", field("title")),
    ("since (UTC)", moment("opened_at")),
    ("last seen (UTC)", moment("last_seen_at")),
    ("rule", field("rule")),
)
RULE_COLUMNS: Final = (
    ("rule", field("name")),
    ("severity", field("severity")),
    ("looks for", field("condition")),
    ("grouped by", field("group_by")),
    ("again after", lambda rule: _span(rule["repeat_after_s"])),
)


@app.command("list")
def list_alerts(
    status: Annotated[str | None, typer.Option(help="Only those that are open, or resolved")] = None,
    limit: LimitOption = 50,
    as_json: JsonOption = False,
) -> None:
    """List what the rules have found, newest first."""
    print_items(ask_list(PATH, limit, status=status), COLUMNS, as_json=as_json, empty="nothing was found")


@app.command()
def rules(as_json: JsonOption = False) -> None:
    """List the rules in force, and where their notices go."""
    found = ask("GET", f"{PATH}/rules")
    if as_json:
        print_json(found)
        return
    print_items(found["items"], RULE_COLUMNS, as_json=False, empty="no rules")
    for channel in found["channels"]:
        _line(f"to {channel['channel']}: {', '.join(channel['severities'])}")
    if not found["channels"]:
        _line(f"{NO_CHANNEL}: {REMEDY}")
    if found["quiet_hours"]:
        _line(f"quiet hours {found['quiet_hours']}: what is not critical comes as one digest afterwards")


@app.command("test")
def send_test(as_json: JsonOption = False) -> None:
    """Send a test notice through every channel now; fails when one does not take it, or there is none."""
    found = ask("POST", f"{PATH}/test")
    if as_json:
        print_json(found)
    else:
        _tell(found["channels"])
    if not found["channels"] or not all(channel["ok"] for channel in found["channels"]):
        error_console.print(Text(f"→ {CORRECT if found['channels'] else REMEDY}"), soft_wrap=True)
        raise typer.Exit(1)


def _tell(channels: list[Json]) -> None:
    for channel in channels:
        ok = bool(channel["ok"])
        mark = Text("✓ ", style="bold green") if ok else Text("✗ ", style="bold red")
        said = "took the test notice" if ok else f"did not take it: {plain(channel['reason'])}"
        console.print(mark + Text(f"{plain(channel['channel'])} {said}"), highlight=False, soft_wrap=True)
    if not channels:
        console.print(Text("✗ ", style="bold red") + Text(NO_CHANNEL), highlight=False)


def _line(text: str) -> None:
    console.print(Text(plain(text)), highlight=False, soft_wrap=True)


def _span(seconds: float) -> str:
    return f"{seconds / 3600:g} h" if seconds >= 3600 else f"{seconds / 60:g} min"
