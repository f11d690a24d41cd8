"""Cursor pages: newest first, an opaque cursor for the next ones, a Link header as in RFC 8288."""

import base64
import json
from datetime import UTC, datetime
from typing import Annotated, Generic, TypeVar
from uuid import UUID

from fastapi import Query, Request, Response
from pydantic import BaseModel

from fluxline_gateway.errors import FieldError, InvalidFields

T = TypeVar("T")
Position = tuple[datetime, UUID]
"""Where a page ends: `created_at` (aware) and `id` of its last item."""

DEFAULT_LIMIT = 20
MAX_LIMIT = 100
Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="how many items a page has at most")]
Cursor = Annotated[str | None, Query(max_length=200, description="`next_cursor` of the page before")]


class Page(BaseModel, Generic[T]):
    """Some items, newest first; `next_cursor` is null on the last page."""

    items: list[T]
    next_cursor: str | None = None


def encode_cursor(position: Position) -> str:
    """The opaque cursor of the page after `position`."""
    created_at, item_id = position
    return base64.urlsafe_b64encode(json.dumps([created_at.isoformat(), str(item_id)]).encode()).decode().rstrip("=")


def decode_cursor(cursor: str | None) -> Position | None:
    """Where the page starts, None at the newest; a cursor that is not ours is answered with 422."""
    if cursor is None:
        return None
    try:
        created_at, item_id = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        return datetime.fromisoformat(created_at).astimezone(UTC), UUID(item_id)
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
