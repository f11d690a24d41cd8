"""What can go wrong with the local stack; each says what to do."""

from pathlib import Path

TAIL_LINES = 15


class StackError(Exception):
    """The local stack cannot start, or cannot go on. `remedy` is what a person does about it."""

    def __init__(self, message: str, *, remedy: str = "", detail: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy
        self.detail = detail


class ProgramFailed(StackError):
    """A program of the stack does not start; the end of its log is the detail."""

    def __init__(self, name: str, log: Path, why: str) -> None:
        super().__init__(f"{name} {why}", remedy=f"its whole log is {log}", detail=log_tail(log))


def log_tail(log: Path) -> str:
    """The last lines of a log, as far as it exists."""
    try:
        text = log.read_text(errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-TAIL_LINES:])
