"""Quiet hours: a daily span of wall-clock time in a time zone, in which only what is critical is told at once."""

import re
from dataclasses import dataclass
from datetime import datetime, time
from typing import Any, Final
from zoneinfo import ZoneInfo

_SPAN: Final = re.compile(r"(\d\d):(\d\d)-(\d\d):(\d\d)(?:\s+(\S+))?")


@dataclass(frozen=True)
class QuietHours:
    """From `begin` on and before `end` by the clocks of `zone`, over midnight where `end` is the earlier one.

    Where clocks are changed, the hours are what people there read: the night may be an hour shorter or longer.
    """

    begin: time
    end: time
    zone: ZoneInfo

    def hold_at(self, at: datetime) -> bool:
        """Whether `at` (aware) lies in them."""
        clock = at.astimezone(self.zone).time()
        if self.begin < self.end:
            return self.begin <= clock < self.end
        return clock >= self.begin or clock < self.end

    def __str__(self) -> str:
        return f"{self.begin:%H:%M}-{self.end:%H:%M} {self.zone.key}"


def quiet_hours(value: Any) -> QuietHours | None:
    """Quiet hours as they are written: `22:00-07:00 Europe/Berlin`, in UTC without a zone; none for an empty text.

    Raises ValueError with what is wrong.
    """
    if value is None or isinstance(value, QuietHours):
        return value
    text = str(value).strip()
    if not text:
        return None
    found = _SPAN.fullmatch(text)
    if found is None:
        raise ValueError("must look like 22:00-07:00 Europe/Berlin")
    begin, end = _time(found[1], found[2]), _time(found[3], found[4])
    if begin == end:
        raise ValueError("must end at another time than they begin")
    return QuietHours(begin, end, _zone(found[5] or "UTC"))


def _time(hour: str, minute: str) -> time:
    try:
        return time(int(hour), int(minute))
    except ValueError as error:
        raise ValueError(f"{hour}:{minute} is no time of the day") from error


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:  # ZoneInfoNotFoundError is a KeyError; a folder's name an OSError
        raise ValueError(f"{name[:60]!r} is no time zone, like Europe/Berlin or UTC") from error
