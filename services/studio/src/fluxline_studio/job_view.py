"""A training and its events as the job page shows them."""

from collections import deque
from dataclasses import dataclass, field
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
        tail = [str(line) for line in data.get("log_tail") or ()]
        known = list(self.provider_log)
        overlap = next((size for size in range(len(tail), 0, -1) if known[-size:] == tail[:size]), 0)
        self.provider_log.extend(tail[overlap:])


@dataclass(frozen=True)
class Curve:
    """The loss as points of an SVG polyline, and in words."""

    points: str
    first: float
    last: float
    low: float
    high: float
    count: int


def curve(losses: list[tuple[int, float]]) -> Curve | None:
    """The curve of (step, loss) pairs; None below two."""
    if len(losses) < 2:
        return None
    steps, values = [step for step, _ in losses], [loss for _, loss in losses]
    low, high, first_step = min(values), max(values), min(steps)
    across, tall = max(steps) - first_step or 1, high - low or 1.0
    points = " ".join(
        f"{(step - first_step) / across * WIDTH:.1f},{HEIGHT - (loss - low) / tall * HEIGHT:.1f}"
        for step, loss in losses
    )
    return Curve(points, values[0], values[-1], low, high, len(values))


def view(training: dict[str, Any], told: Told) -> dict[str, Any]:
    """What the templates of the job page are given."""
    return {
        "training": training,
        "told": told,
        "curve": curve(told.losses),
        "ended": training["status"] in ENDED,
        "elapsed_s": sum(stage["duration_ms"] or 0 for stage in training["stages"]) / 1000,
    }
