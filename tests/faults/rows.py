"""Rows of the fault matrix: what a test breaks, what has to hold, what was seen, and the table of it all."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

BEGIN, END = "<!-- fault matrix: begin -->", "<!-- fault matrix: end -->"
BUCKETS_S = (1, 2, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 600)


@dataclass(frozen=True)
class Row:
    """One case; `observed` is empty when the test did not get as far as observing."""

    id: str
    component: str
    fault: str
    promise: str
    kept: bool
    observed: str

    def line(self) -> str:
        """The row in Markdown."""
        seen = self.observed if self.kept else f"**not kept** {self.observed}".strip()
        return "| " + " | ".join(map(_cell, (self.id, self.component, self.fault, self.promise, seen))) + " |"


def fault(id: str, *, component: str, fault: str, promise: str) -> pytest.MarkDecorator:
    """Marks a test, or one of its parameters, as the row `id` of the matrix."""
    return pytest.mark.fault(id, component, fault, promise)


def within(seconds: float) -> str:
    """A duration so coarse that it is the same tomorrow: `≤ 5 s`."""
    return f"≤ {next((bucket for bucket in BUCKETS_S if seconds <= bucket), 3600)} s"


def write_table(page: Path, rows: Iterable[Row]) -> None:
    """Put the table between the page's marks; what a person wrote around them stays."""
    before, _, rest = page.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    head = ["| # | component | fault | promise | observed |", "|---|---|---|---|---|"]
    lines = [*head, *(row.line() for row in sorted(rows, key=lambda row: row.id))]
    page.write_text(before + "\n".join([BEGIN, *lines, END]) + after)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
