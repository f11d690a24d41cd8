"""What the commands print on, and how a failure looks: what happened and what to do, never a stack trace."""

from rich.console import Console
from rich.markup import escape

from fluxline_cli.stack.errors import StackError

console = Console()
error_console = Console(stderr=True)


def complain(error: StackError) -> None:
    """Print a failure on standard error."""
    error_console.print(f"[bold red]✗[/] {escape(str(error))}", highlight=False, soft_wrap=True)
    if error.detail:
        error_console.print(escape(error.detail), style="dim", highlight=False, soft_wrap=True)
    if error.remedy:
        error_console.print(f"[bold]→[/] {escape(error.remedy)}", highlight=False, soft_wrap=True)
