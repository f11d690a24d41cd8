"""A training and its events as the job page shows them."""

from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

ENDED = ("completed", "failed", "canceled")
MAX_FEED = 50
MAX_POINTS = 400
MAX_LOG_LINES = 200
WIDTH, HEIGHT = 600, 160


@dataclass
class Told:
    """What the events of one training have told: bounded, however long the training is."""

    last_id: int = 0
    feed: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=MAX_FEED))
    losses: list[tuple[int, float]] = field(default_factory=list)
    provider_log: deque[str] = field(default_factory=lambda: deque(maxlen=MAX_LOG_LINES))

    def add(self, event: dict[str, Any]) -> None:
        """Take in an event; one that is known already changes nothing."""
        if event["id"] <= self.last_id:
            return
        self.last_id = event["id"]
        self.feed.appendleft(event)
        data = event.get("data") or {}
        if event["type"] == "training.progressed":
            self._add_progress(data)
        elif event["type"] == "training.retry_requested":
            self.losses.clear()

    def _add_progress(self, data: dict[str, Any]) -> None:
        step, loss = data.get("step"), data.get("loss")
        if isinstance(step, int) and isinstance(loss, int | float):
            self.losses.append((step, float(loss)))
        if len(self.losses) > MAX_POINTS:
            self.losses = self.losses[::2]
        self._add_log([str(line) for line in data.get("log_tail") or ()])

    def _add_log(self, tail: list[str]) -> None:
        """A tail goes on from the first of its lines that is known; bars before and after it may have moved on."""
        known = list(self.provider_log)
        for place, line in enumerate(tail):
            if line in known:
                before = len(known) - 1 - known[::-1].index(line) - place
                self.provider_log = deque(known[: max(before, 0)], maxlen=MAX_LOG_LINES)
                break
        self.provider_log.extend(tail)


@dataclass(frozen=True)
class Curve:
    """The loss as points of an SVG polyline, and in words."""

    points: str
    first: float
    last: float
    low: float
    high: float
    count: int
    first_step: int
    last_step: int


def curve(losses: list[tuple[int, float]]) -> Curve | None:
    """The curve of (step, loss) pairs; None below two."""
    if len(losses) < 2:
        return None
    steps, values = [step for step, _ in losses], [loss for _, loss in losses]
    low, high, first_step = min(values), max(values), min(steps)
    last_step = max(steps)
    across, tall = last_step - first_step or 1, high - low or 1.0
    points = " ".join(
        f"{(step - first_step) / across * WIDTH:.1f},{HEIGHT - (loss - low) / tall * HEIGHT:.1f}"
        for step, loss in losses
    )
    return Curve(points, values[0], values[-1], low, high, len(values), first_step, last_step)


@dataclass(frozen=True)
class Bar:
    """One stage in the waterfall: where it lies in the whole, in percent, and for how long; None before it began."""

    stage: dict[str, Any]
    start: float
    width: float
    seconds: float | None


def waterfall(training: dict[str, Any], now: datetime) -> list[Bar]:
    """The stages on one scale, from the training's beginning to its end or now; one that runs reaches to now."""
    began, whole = _time(training["created_at"]), max(elapsed_s(training, now), 0.001)
    bars = []
    for stage in training["stages"]:
        if not stage["started_at"]:
            bars.append(Bar(stage, 0, 0, None))
            continue
        start = _time(stage["started_at"])
        seconds = max(((_time(stage["ended_at"]) if stage["ended_at"] else now) - start).total_seconds(), 0)
        left = min(max((start - began).total_seconds() / whole * 100, 0), 99)
        bars.append(Bar(stage, round(left, 2), round(min(max(seconds / whole * 100, 1), 100 - left), 2), seconds))
    return bars


def elapsed_s(training: dict[str, Any], now: datetime) -> float:
    """By the clock on the wall, from the beginning to the end or now, with all waiting."""
    end = now
    if training["status"] in ENDED:
        ends = [_time(stage["ended_at"]) for stage in training["stages"] if stage["ended_at"]]
        end = max(ends, default=_time(training["updated_at"]))
    return max((end - _time(training["created_at"])).total_seconds(), 0)


def view(training: dict[str, Any], told: Told, now: datetime | None = None) -> dict[str, Any]:
    """What the templates of the job page are given."""
    now = now or datetime.now(UTC)
    return {
        "training": training,
        "told": told,
        "curve": curve(told.losses),
        "ended": training["status"] in ENDED,
        "bars": waterfall(training, now),
        "elapsed_s": elapsed_s(training, now),
    }


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
