"""What every bench shares: ways take turns, each round gives a ratio, medians and spreads are told.

A machine that others use makes everything slow for a while. So nothing is compared with a figure of another moment: in
each round every way runs once, and what is told of two ways is the median of the rounds' ratios.
"""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

ROOT: Final = Path(__file__).parents[1]
SCRATCH: Final = ROOT / ".bench"
"""Peers, photos and programs that only benches need; `make clean` removes it."""
RESULTS: Final = ROOT / "bench" / "results"
PAGE: Final = ROOT / "docs" / "performance.md"
PICTURES: Final = ROOT / "docs" / "performance"

T = TypeVar("T")


def taking_turns(ways: Mapping[str, Callable[[], T]], rounds: int) -> dict[str, list[T]]:
    """What each way gave, by round; within a round they run one after the other."""
    found: dict[str, list[T]] = {name: [] for name in ways}
    for number in range(rounds):
        for name, way in ways.items():
            print(f"\r{number + 1}/{rounds} {name:40}", end="", file=sys.stderr, flush=True)
            found[name].append(way())
    print("\r" + " " * 60 + "\r", end="", file=sys.stderr)
    return found


@dataclass(frozen=True)
class Figure:
    """The median of some rounds, and the lowest and the highest of them."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        digits = 2 if abs(self.median) < 10 else 1 if abs(self.median) < 100 else 0
        return f"{self.median:,.{digits}f} ({self.low:,.{digits}f}–{self.high:,.{digits}f})"


def figure(values: Sequence[float]) -> Figure:
    """The figure of some rounds' values."""
    return Figure(statistics.median(values), min(values), max(values))


def ratio(values: Sequence[float], to: Sequence[float]) -> Figure:
    """How many times `to` the values are, round by round."""
    return figure([value / other for value, other in zip(values, to, strict=True)])


@dataclass(frozen=True)
class Run:
    """A child process: what it printed as JSON, and its peak memory in MiB."""

    said: dict[str, Any]
    peak_mib: float


def run(command: Sequence[str | Path], *, timeout_s: float = 600, **variables: str) -> Run:
    """Run a program that prints one line of JSON; its peak memory is the kernel's figure for it.

    Raises RuntimeError with what it wrote when it fails.
    """
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **variables}
    program = subprocess.Popen(
        [str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    try:
        out, err = program.communicate(timeout=timeout_s)
    finally:
        program.kill()
    if program.returncode:
        raise RuntimeError(f"{command[0]} {command[1:2]} failed: {err[-2000:]}")
    said = json.loads(out.splitlines()[-1])
    return Run(said, said["peak_mib"])


def markdown(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table; the columns behind the first are figures."""
    lines = [list(head), ["---", *["---:"] * (len(head) - 1)], *[[str(cell) for cell in row] for row in rows]]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def bars(title: str, values: Mapping[str, float], *, unit: str, ours: str) -> str:
    """A picture of a few bars, as SVG; `ours` is the name of the one that stands out."""
    width, row, left = 640, 24, 210
    most = max(values.values())
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {40 + row * len(values)}" role="img"'
        f' font-family="system-ui, sans-serif" font-size="13"><title>{title}</title>'
        '<rect width="100%" height="100%" fill="#fff"/>'
        f'<text x="8" y="20" font-weight="600">{title}</text>'
    ]
    for place, (name, value) in enumerate(values.items()):
        top, length = 32 + place * row, value / most * (width - left - 90)
        colour = "#0b7285" if name == ours else "#adb5bd"
        lines.append(
            f'<text x="{left - 8}" y="{top + 14}" text-anchor="end">{name}</text>'
            f'<rect x="{left}" y="{top}" width="{length:.0f}" height="18" fill="{colour}"/>'
            f'<text x="{left + length + 6:.0f}" y="{top + 14}">{value:.3g} {unit}</text>'
        )
    return "\n".join([*lines, "</svg>"]) + "\n"


def publish(name: str, found: Mapping[str, Any], section: str, pictures: Mapping[str, str]) -> None:
    """Write the results as JSON, the section of docs/performance.md between its two marks, and its pictures."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(found, indent=2) + "\n")
    PICTURES.mkdir(parents=True, exist_ok=True)
    for picture, content in pictures.items():
        (PICTURES / f"{picture}.svg").write_text(content)
    begin, end = f"<!-- bench:{name} -->\n", f"<!-- /bench:{name} -->"
    page = PAGE.read_text()
    before, mark, rest = page.partition(begin)
    if not mark:
        raise RuntimeError(f"{PAGE} has no place for {name}: {begin.strip()} and {end}")
    shown = "".join(f"\n![{picture}](performance/{picture}.svg)\n" for picture in pictures)
    PAGE.write_text(f"{before}{begin}{section}\n{shown}{end}{rest.partition(end)[2]}")
