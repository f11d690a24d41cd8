"""Numbers and times as people read them."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from markupsafe import Markup


def duration(seconds: float | None) -> str:
    """`0.4 s`, `42 s`, `3 min 5 s`, `2 h 4 min`; a dash for None."""
    if seconds is None:
        return "–"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def milliseconds(value: float | None) -> str:
    """As `duration`, of milliseconds."""
    return duration(None if value is None else value / 1000)


def usd(amount: float | None) -> str:
    """`$1.60`, `< $0.01`; a dash for None."""
    if amount is not None and 0 < amount < 0.005:
        return "< $0.01"
    return "–" if amount is None else f"${amount:,.2f}"


def moment(text: str | None) -> str:
    """`2026-11-25 10:00:04 UTC` of an ISO time, as an element that browsers tell in their own zone; a dash for None."""
    return "–" if not text else _time(text, "moment", f"{_parsed(text):%Y-%m-%d %H:%M:%S} UTC")


def clock(text: str) -> str:
    """`10:00:04` of an ISO time, as an element that browsers tell in their own zone."""
    return _time(text, "clock", f"{_parsed(text):%H:%M:%S}")


def size(size_bytes: float | None) -> str:
    """`3.8 MB`; a dash for None."""
    if size_bytes is None:
        return "–"
    for unit in ("B", "kB", "MB"):
        if size_bytes < 1000:
            return f"{size_bytes:.0f} B" if unit == "B" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:.1f} GB"


def _time(at: str, told_as: str, words: str) -> Markup:
    return Markup('<time datetime="{}" data-as="{}">{}</time>').format(at, told_as, words)


def _parsed(text: str) -> datetime:
    return datetime.fromisoformat(text)


FILTERS: Final[dict[str, Callable[..., Any]]] = {
    "duration": duration,
    "milliseconds": milliseconds,
    "usd": usd,
    "moment": moment,
    "clock": clock,
    "size": size,
}
