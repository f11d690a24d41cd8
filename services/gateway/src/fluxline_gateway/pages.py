"""Cursor pages: newest first, an opaque cursor for the next ones, a Link header as in RFC 8288."""

import base64
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Generic, TypeVar
from uuid import UUID

import asyncpg
from fastapi import Query, Request, Response
from pydantic import BaseModel, TypeAdapter

from fluxline.contracts.ids import OwnerName
from fluxline_gateway.errors import FieldError, InvalidFields

T = TypeVar("T")
F = TypeVar("F")
_OWNER: TypeAdapter[str] = TypeAdapter(OwnerName)
Position = tuple[datetime, UUID]
"""Where a page ends: `created_at` (aware) and `id` of its last item."""
NumberedPosition = tuple[datetime, int]
"""The same of what is numbered: a time (aware) and a bigint."""

DEFAULT_LIMIT = 20
MAX_LIMIT = 100
Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="how many items a page has at most")]
Cursor = Annotated[str | None, Query(max_length=200, description="`next_cursor` of the page before")]


class Page(BaseModel, Generic[T]):
    """Some items, newest first; `next_cursor` is null on the last page."""

    items: list[T]
    next_cursor: str | None = None


def encode_cursor(position: Position | NumberedPosition) -> str:
    """The opaque cursor of the page after `position`."""
    created_at, item_id = position
    return _encode([created_at.isoformat(), str(item_id)])


def decode_cursor(cursor: str | None) -> Position | None:
    """Where the page starts, None at the newest; a cursor that is not ours is answered with 422."""
    return _decode(cursor, lambda created_at, item_id: (_moment(created_at), UUID(item_id)))


def decode_numbered(cursor: str | None) -> NumberedPosition | None:
    """The same of a list whose items are numbered."""
    return _decode(cursor, lambda at, number: (_moment(at), _bigint(number)))


def encode_name(name: str) -> str:
    """The cursor of a list in the order of owners' names."""
    return _encode([name])


def decode_name(cursor: str | None) -> str | None:
    """The name that the page starts after, None at the first."""
    return _decode(cursor, _OWNER.validate_python)


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _bigint(text: str) -> int:
    if not (number := int(text)) < 2**63 or number < 0:
        raise ValueError(text)
    return number


def _encode(parts: list[str]) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


def _decode(cursor: str | None, read: Callable[..., T]) -> T | None:
    """What `read` makes of the cursor's parts."""
    if cursor is None:
        return None
    try:
        parts: list[Any] = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        return read(*parts)
    except (ValueError, TypeError, AttributeError, OverflowError):
        raise InvalidFields(
            FieldError(field="cursor", message="is not a cursor of this list"),
            hint="Use next_cursor of the page before as it is, or leave it out to start with the newest.",
        ) from None


def link_next(request: Request, response: Response, cursor: str | None) -> None:
    """Name the next page, if there is one, in the answer's Link header; relative, so it holds behind any proxy."""
    if cursor:
        url = request.url.include_query_params(cursor=cursor)
        response.headers["Link"] = f'<{url.path}?{url.query}>; rel="next"'


def page_of(
    request: Request,
    response: Response,
    found: Sequence[F],
    limit: int,
    show: Callable[[F], T],
    position: Callable[[F], Position | NumberedPosition],
) -> Page[T]:
    """The first `limit` of what was found; one more than that was asked for, to know whether there is another page."""
    more = encode_cursor(position(found[limit - 1])) if len(found) > limit else None
    link_next(request, response, more)
    return Page(items=[show(item) for item in found[:limit]], next_cursor=more)


def row_position(row: asyncpg.Record) -> Position:
    """Where a page ends with a row that has `created_at` and `id`."""
    return row["created_at"], row["id"]
