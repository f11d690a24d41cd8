"""Answers across jobs, a page at a time."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from pydantic import BaseModel

from fluxline.contracts.insights import Insights
from fluxline.postgres.pool import Database
from fluxline_collector.insight_cursor import DEFAULT_SPAN, Place, Span, decode, encode, span_of
from fluxline_collector.insight_queries import Question

M = TypeVar("M", bound=BaseModel)


class Answers:
    """Asks the views. `now` is the moment that questions are asked at."""

    def __init__(self, database: Database, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.database = database
        self.now = now

    async def page(
        self, question: Question, filters: Mapping[str, Any], place: Place, default: timedelta = DEFAULT_SPAN
    ) -> Insights[Any]:
        """One page of a list; raises `BadQuestion` for a span or cursor that cannot be answered."""
        as_of, key = decode(place.cursor, question.kind) if place.cursor else (self.now(), None)
        span, limit = span_of(place, as_of, default), place.limit
        rows = await self.database.pool.fetch(question.sql, *arguments(question, span, filters, key, limit))
        items = [question.model.model_validate(dict(row)) for row in rows[:limit]]
        more = len(rows) > limit
        last = tuple(rows[limit - 1][column] for column in question.key) if more else ()
        return Insights[Any](items=items, next_cursor=encode(as_of, last) if more else None)


def arguments(
    question: Question, span: Span, filters: Mapping[str, Any], key: tuple[Any, ...] | None, limit: int
) -> list[Any]:
    """$1 and up of the question's statement; one row more than the page has tells whether there is a next one."""
    given = {**filters, "as_of": span.as_of}
    after = key or (None,) * len(question.key)
    return [span.since, span.until, limit + 1, key is not None, *(given[name] for name in question.filters), *after]
