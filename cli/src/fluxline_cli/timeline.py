"""A training's timeline in the console: when, how much it matters, what, and what to do about it."""

from rich.table import Table
from rich.text import Text

from fluxline.contracts.narration import duration_text
from fluxline_cli.calls import plain
from fluxline_cli.client import Json
from fluxline_cli.console import console

STYLES = {"debug": "dim", "warning": "yellow", "error": "red"}


def print_timeline(timeline: Json) -> None:
    """A line for each entry, with the time since the request; details stand below."""
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(justify="right", no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    for entry in timeline["entries"]:
        table.add_row(_since(entry["offset_ms"]), _words(entry))
    if timeline.get("left_out"):
        console.print(f"{timeline['left_out']} older events are left out", style="dim", highlight=False)
    console.print(table)


def _since(offset_ms: int) -> str:
    return f"+{duration_text(max(0, offset_ms))}"


def _words(entry: Json) -> Text:
    is_wait = entry["type"] == "wait"
    text = Text(plain(entry["title"]), style="dim italic" if is_wait else STYLES.get(entry["level"], ""))
    if entry.get("folded"):
        text.append(f" ({entry['folded']} like it before)", style="dim")
    if entry.get("detail"):
        text.append(f"\n→ {plain(entry['detail'])}", style="dim")
    return text
