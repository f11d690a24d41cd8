"""Pages of answers across jobs: which span of time they are about, and where the next one begins.

A cursor carries the moment of the first page. What is open then and what "the last week" means stay the same over all
pages, however long somebody takes to turn them.
"""

import base64
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, TypeVar

from pydantic import AfterValidator, AwareDatetime, TypeAdapter, ValidationError

from fluxline.contracts.insights import DEFAULT_LIMIT, DEFAULT_SPAN_DAYS, MAX_SPAN_DAYS
from fluxline_collector.record import storable

K = TypeVar("K", bound=tuple[Any, ...])
MAX_CURSOR_CHARS: Final = 2000
DEFAULT_SPAN: Final = timedelta(days=DEFAULT_SPAN_DAYS)
MAX_SPAN: Final = timedelta(days=MAX_SPAN_DAYS)
_YEARS: Final = range(1970, 9000)
_MOST: Final = 2**63


class BadQuestion(ValueError):
    """The parameters cannot be answered; the message says which and why."""


def _known_year(at: datetime) -> datetime:
    if at.year not in _YEARS:
        raise ValueError("too far away")
    return at


Moment = Annotated[AwareDatetime, AfterValidator(_known_year)]
"""A time that PostgreSQL's driver can take in any zone."""


@dataclass(frozen=True)
class Place:
    """Which page is wanted: of the rows from `since` on and before `until`, `limit` of them after `cursor`."""

    since: datetime | None = None
    until: datetime | None = None
    cursor: str | None = None
    limit: int = DEFAULT_LIMIT


@dataclass(frozen=True)
class Span:
    """From `since` on and before `until`, as seen at `as_of`; all aware."""

    since: datetime
    until: datetime
    as_of: datetime


def span_of(place: Place, as_of: datetime, default: timedelta = DEFAULT_SPAN) -> Span:
    """The span asked for, `default` until now otherwise; raises `BadQuestion` for none or too long a one."""
    if any(at is not None and at.year not in _YEARS for at in (place.since, place.until)):
        raise BadQuestion("since and until must lie between the years 1970 and 9000.")
    until = place.until or as_of
    since = place.since or until - default
    if since >= until:
        raise BadQuestion("since must be before until.")
    if until - since > MAX_SPAN:
        raise BadQuestion(f"From since to until must be {MAX_SPAN_DAYS} days at most.")
    return Span(since, until, as_of)


def encode(as_of: datetime, key: tuple[Any, ...]) -> str:
    """The opaque cursor after the row with `key`."""
    parts = [part if isinstance(part, int) else str(part) for part in (as_of, *key)]
    return base64.urlsafe_b64encode(json.dumps(parts, ensure_ascii=False).encode()).decode().rstrip("=")


def decode(cursor: str, kind: TypeAdapter[K]) -> tuple[datetime, K]:
    """The first page's moment, and the key to go on after; raises `BadQuestion` for what is no cursor of this list."""
    try:
        as_of, *key = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        moment = _MOMENT.validate_python(as_of).astimezone(UTC)
        return moment, kind.validate_python(tuple(_bounded(part) for part in key))
    except (ValueError, TypeError, OverflowError, RecursionError, ValidationError) as error:
        raise BadQuestion("The cursor is not one of this list: use next_cursor of the page before as it is.") from error


def _bounded(part: object) -> object:
    """As PostgreSQL can take it."""
    if isinstance(part, str):
        return storable(part)
    if isinstance(part, int) and -_MOST <= part < _MOST:
        return part
    raise ValueError(part)


_MOMENT: Final[TypeAdapter[datetime]] = TypeAdapter(Moment)
