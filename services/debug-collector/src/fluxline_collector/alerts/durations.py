"""Durations as people write them (`90s`, `5m`, `1h30m`), and as a sentence says them."""

import re
from typing import Annotated, Any, Final

from pydantic import BeforeValidator

_UNITS_S: Final = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
_DURATION: Final = re.compile(r"(?:(\d{1,6})d)?(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,6})s)?")
MOST_S: Final = 90 * 86_400.0


def seconds(text: Any) -> float:
    """Seconds of a duration; raises ValueError for a number without a unit and for what is none."""
    found = _DURATION.fullmatch(text) if isinstance(text, str) and text else None
    if found is None:
        raise ValueError("must be a duration in quotes with its unit, like 90s, 5m, 1h30m or 2d")
    parts = zip(found.groups(), _UNITS_S.values(), strict=True)
    total = float(sum(int(number) * unit for number, unit in parts if number))
    if total > MOST_S:
        raise ValueError("must be 90 days at most")
    return total


Duration = Annotated[float, BeforeValidator(seconds)]
"""Seconds, written as a duration."""


def about(span_s: float) -> str:
    """`45 s`, `5 min`, `2 h`, `3 days`: rounded to what a sentence needs."""
    if span_s < 59.5:
        return f"{max(1, round(span_s))} s"
    if span_s < 59.5 * 60:
        return f"{round(span_s / 60)} min"
    if span_s < 47.5 * 3600:
        return f"{round(span_s / 3600)} h"
    return f"{round(span_s / 86_400)} days"
