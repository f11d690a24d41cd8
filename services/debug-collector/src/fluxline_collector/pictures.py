"""The geometry of the report's pictures: a waterfall of the stages, the curve of the loss. Pure.

Lengths are percent of the width, so that text keeps its size on every screen; heights are pixels.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from fluxline.contracts.debugging import Span, Timeline
from fluxline.contracts.narration import STAGE_NAMES, duration_text

MAX_ROWS: Final = 40
ROW_PX: Final = 38
THINNEST: Final = 0.35
"""Percent: what is shorter is still seen."""
_STEPS_S: Final = (
    0.1,
    0.2,
    0.5,
    1,
    2,
    5,
    10,
    20,
    30,
    60,
    120,
    300,
    600,
    1200,
    1800,
    3600,
    7200,
    14_400,
    43_200,
    86_400,
)


@dataclass(frozen=True)
class Bar:
    """`kind` is the class that colours it; `tip` says it in words."""

    x: float
    width: float
    kind: str
    tip: str


@dataclass(frozen=True)
class Row:
    """One attempt with the waits before it; `note` stands at the right."""

    label: str
    note: str
    bars: Sequence[Bar]
    y: int


@dataclass(frozen=True)
class Waterfall:
    """`ticks` are (percent, label); `left_out` attempts are not drawn."""

    rows: Sequence[Row]
    ticks: Sequence[tuple[float, str]]
    height: int
    left_out: int


@dataclass(frozen=True)
class Curve:
    """`points` is for a polyline in a box of 1000 × 100; the rest are its labels."""

    points: str
    name: str
    top: str
    bottom: str
    first: str
    last: str
    newest: str


def waterfall_of(timeline: Timeline, now: datetime) -> Waterfall | None:
    """None where no stage has begun."""
    if not timeline.spans:
        return None
    so_far_ms = (now - timeline.started_at) // timedelta(milliseconds=1)
    spans = [_closed(span, so_far_ms) for span in timeline.spans]
    total_ms = max(1, *(span.offset_ms + (span.duration_ms or 0) for span in spans))
    groups = list(_groups(spans))
    rows = [_row(group, place, total_ms) for place, group in enumerate(groups[:MAX_ROWS])]
    return Waterfall(rows, list(_ticks(total_ms)), len(rows) * ROW_PX + 26, max(0, len(groups) - MAX_ROWS))


def curve_of(rows: Iterable[Mapping[str, Any]]) -> Curve | None:
    """The loss by step; without losses the percentage by time; None with fewer than two points."""
    told = list(rows)
    losses = [
        (x, y) for row in told if (x := _number(row["step"])) is not None and (y := _number(row["loss"])) is not None
    ]
    if len(losses) >= 2:
        return _curve(losses, "Loss", "{:.4f}", [f"step {losses[0][0]:.0f}", f"step {losses[-1][0]:.0f}"])
    timed = [(row["at"], y) for row in told if row["at"] and (y := _number(row["percent"])) is not None]
    if len(timed) < 2:
        return None
    start = timed[0][0]
    points = [((at - start).total_seconds(), percent) for at, percent in timed]
    return _curve(points, "Progress", "{:.0f} %", ["start", f"after {duration_text(points[-1][0] * 1000)}"])


def _curve(points: Sequence[tuple[float, float]], name: str, text: str, ends: Sequence[str]) -> Curve:
    low_x, high_x = min(x for x, _ in points), max(x for x, _ in points)
    low, high = min(y for _, y in points), max(y for _, y in points)
    width, height = high_x - low_x or 1.0, high - low or 1.0
    drawn = (f"{1000 * (x - low_x) / width:.1f},{100 - 100 * (y - low) / height:.1f}" for x, y in points)
    labels = {"top": text.format(high), "bottom": text.format(low), "newest": text.format(points[-1][1])}
    return Curve(points=" ".join(drawn), name=name, first=ends[0], last=ends[1], **labels)


def _number(text: object) -> float | None:
    try:
        number = float(str(text))
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _closed(span: Span, so_far_ms: int) -> Span:
    if span.duration_ms is not None:
        return span
    return span.model_copy(update={"duration_ms": max(0, so_far_ms - span.offset_ms)})


def _groups(spans: Iterable[Span]) -> Iterable[list[Span]]:
    """The spans of one attempt: the waits that led to it, and its work."""
    group: list[Span] = []
    for span in spans:
        if group and span.stage != group[-1].stage:
            yield group
            group = []
        group.append(span)
        if span.kind == "work":
            yield group
            group = []
    if group:
        yield group


def _row(group: Sequence[Span], place: int, total_ms: int) -> Row:
    last = group[-1]
    stage = STAGE_NAMES.get(last.stage, last.stage)
    number = f" · attempt {last.attempt}" if last.attempt > 1 or last.outcome in ("retried", "failed", "lost") else ""
    run = f" · run {last.run + 1}" if last.run else ""
    return Row(stage + number + run, _note(last), [_bar(span, total_ms) for span in group], place * ROW_PX + 26)


def _note(span: Span) -> str:
    took = duration_text(span.duration_ms)
    if span.kind == "wait":
        return f"waiting {took}"
    return f"{took} · {span.category}" if span.category else took


def _bar(span: Span, total_ms: int) -> Bar:
    width = max(THINNEST, 100 * (span.duration_ms or 0) / total_ms)
    x = min(100 - width, 100 * span.offset_ms / total_ms)
    kind = "wait" if span.kind == "wait" else (span.outcome or "running")
    why = str(span.reason or "").replace("_", " ")
    what = f"waited ({why})" if span.kind == "wait" else (span.outcome or "running")
    return Bar(round(max(0.0, x), 3), round(width, 3), kind, f"{what}, {duration_text(span.duration_ms)}")


def _ticks(total_ms: int) -> Iterable[tuple[float, str]]:
    total_s = total_ms / 1000
    step_s = next((step for step in _STEPS_S if total_s / step <= 5), total_s / 5)
    for number in range(1, int(total_s / step_s) + 1):
        place = 100 * number * step_s / total_s
        if place <= 97:
            yield round(place, 3), _tick(number * step_s)


def _tick(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:g} s"
    return f"{seconds / 60:g} min" if seconds < 7200 else f"{seconds / 3600:g} h"
