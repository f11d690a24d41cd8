"""The collector's table of logs: batches in, a job's or everybody's records out."""

import json
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final, TypeAlias
from uuid import UUID

import asyncpg

from fluxline.contracts.logs import LEVELS, Level, LogOrder, LogPage, StoredLog
from fluxline.postgres.pool import Database
from fluxline.runtime.envelope import Received
from fluxline_collector.log_record import LogRow, rows_of
from fluxline_collector.metrics import LogMetrics
from fluxline_collector.partitions import Weeks

_TYPES: Final = {
    "stored_at": "timestamptz",
    "sequence": "bigint",
    "line": "integer",
    "at": "timestamptz",
    "training_id": "uuid",
    "generation_id": "uuid",
    "readable": "boolean",
}
_COLUMNS = [field.name for field in fields(LogRow)]
_ARRAYS = ", ".join(f"${n}::{_TYPES.get(name, 'text')}[]" for n, name in enumerate(_COLUMNS, start=1))
_VALUES = ", ".join(f"{name}::jsonb" if name == "fields" else name for name in _COLUMNS)
_INSERT = f"""
INSERT INTO logs ({", ".join(_COLUMNS)})
SELECT {_VALUES} FROM unnest({_ARRAYS}) AS row ({", ".join(_COLUMNS)})
ON CONFLICT DO NOTHING
"""  # noqa: S608 – names of our own columns

_KEY = "(stored_at, sequence, line)"
_FILTERS = """
AND ($1::text[] IS NULL OR level = ANY ($1))
AND ($2::text IS NULL OR service = $2)
AND ($3::text IS NULL OR position(lower($3) IN lower(event || ' ' || logger || ' ' || fields::text)) > 0)
AND ($4::timestamptz IS NULL OR at >= $4)
AND ($5::timestamptz IS NULL OR at < $5)
AND stored_at >= coalesce($4 - interval '1 hour', '-infinity')
AND stored_at < coalesce($5 + interval '3 days', 'infinity')
"""
"""The last two say nothing new (a record is stored after it is made, and waits two days at most), but find weeks."""
_TRACES = "SELECT DISTINCT trace_id FROM events WHERE training_id = $1 AND trace_id IS NOT NULL"


Place: TypeAlias = tuple[datetime, int, int]
"""Of a row among all: when the broker stored its message, that message's sequence, its line."""


class BadCursor(ValueError):
    """The cursor is none of ours."""


@dataclass(frozen=True)
class LogFilter:
    """Which records: from `level` up, of a service, with `q` in event, logger or fields, between two times."""

    level: Level = "debug"
    service: str | None = None
    q: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    @property
    def arguments(self) -> list[Any]:
        """$1 to $5 of `_FILTERS`."""
        levels = None if self.level == "debug" else list(LEVELS[LEVELS.index(self.level) :])
        return [levels, self.service, self.q, self.since, self.until]


class LogStore:
    """Reads and writes the table `logs`."""

    def __init__(self, database: Database, metrics: LogMetrics) -> None:
        self.database = database
        self.metrics = metrics
        self._weeks = Weeks(database, "logs")

    async def store(self, batch: list[Received]) -> None:
        """Store a batch of messages; lines that are there already change nothing."""
        rows = sorted((row for message in batch for row in rows_of(message)), key=_place)
        if not rows:
            return
        columns = [[getattr(row, name) for row in rows] for name in _COLUMNS]
        insert = partial(self.database.pool.execute, _INSERT, *columns)
        await self._weeks.written([row.stored_at for row in rows], insert)
        self.metrics.stored.inc(len(rows))
        self.metrics.unreadable.inc(sum(not row.readable for row in rows))

    async def of_training(
        self, training_id: UUID, wanted: LogFilter, *, after: str | None, limit: int, order: LogOrder = "oldest"
    ) -> LogPage:
        """The training's records, by its id or, where a record has none, by a trace of its events."""
        place = _place_after(after, order)
        traces = [row["trace_id"] for row in await self.database.pool.fetch(_TRACES, training_id)]
        return await self._page(_OF_TRAINING[order], wanted, place, limit, training_id, traces)

    async def of_all(self, wanted: LogFilter, *, after: str | None, limit: int, order: LogOrder = "newest") -> LogPage:
        """Everybody's records."""
        return await self._page(_OF_ALL[order], wanted, _place_after(after, order), limit)

    async def _page(self, statement: str, wanted: LogFilter, place: Place, limit: int, *more: Any) -> LogPage:
        rows = await self.database.pool.fetch(statement, *wanted.arguments, *place, limit, *more)
        items = [_stored_log(row) for row in rows]
        return LogPage(items=items, next_cursor=items[-1].id if len(items) == limit else None)


def _statement(order: LogOrder, *branches: str) -> str:
    """Each branch read along its own index, `limit` rows at most, then the first of them all."""
    beyond, direction = (">", "") if order == "oldest" else ("<", " DESC")
    along = f"ORDER BY stored_at{direction}, sequence{direction}, line{direction} LIMIT $9"
    parts = [
        f"(SELECT * FROM logs WHERE {branch} AND {_KEY} {beyond} ($6, $7, $8) {_FILTERS} {along})"  # noqa: S608
        for branch in branches
    ]
    return f"SELECT * FROM ({' UNION ALL '.join(parts)}) AS found {along}"  # noqa: S608 – constants of this module


_ORDERS: Final[tuple[LogOrder, ...]] = ("oldest", "newest")
_OF_TRAINING: Final = {
    order: _statement(order, "training_id = $10", "training_id IS NULL AND trace_id = ANY ($11::text[])")
    for order in _ORDERS
}
_OF_ALL: Final = {order: _statement(order, "true") for order in _ORDERS}
_ENDS: Final[dict[LogOrder, Place]] = {
    "oldest": (datetime(1970, 1, 1, tzinfo=UTC), 0, 0),
    "newest": (datetime(9000, 1, 1, tzinfo=UTC), 0, 0),
}


def _place_after(cursor: str | None, order: LogOrder) -> Place:
    return _read_cursor(cursor) if cursor else _ENDS[order]


def _place(row: LogRow) -> Place:
    return row.stored_at, row.sequence, row.line


def _stored_log(row: asyncpg.Record) -> StoredLog:
    facts = {name: row[name] for name in StoredLog.model_fields if name not in ("id", "fields")}
    return StoredLog(id=_cursor(row), fields=json.loads(row["fields"]), **facts)


def _cursor(row: asyncpg.Record) -> str:
    """The row's place: microseconds of its message, sequence, line."""
    microseconds = (row["stored_at"] - _EPOCH) // timedelta(microseconds=1)
    return f"{microseconds}.{row['sequence']}.{row['line']}"


def _read_cursor(cursor: str) -> Place:
    try:
        microseconds, sequence, line = (int(part) for part in cursor[:60].split("."))
        if max(sequence, -sequence) < 2**63 and max(line, -line) < 2**31:
            return _EPOCH + timedelta(microseconds=microseconds), sequence, line
    except (ValueError, OverflowError) as error:
        raise BadCursor("The cursor is not valid.") from error
    raise BadCursor("The cursor is not valid.")


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
