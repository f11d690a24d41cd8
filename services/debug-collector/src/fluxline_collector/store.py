"""The collector's tables: batches in, with what they mean for jobs; a job's events out in stream order."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from functools import partial
from uuid import UUID

import asyncpg

from fluxline.postgres.pool import CONNECT_TIMEOUT_S, Database
from fluxline.runtime.envelope import Received
from fluxline.runtime.logs import get_logger
from fluxline_collector.metrics import CollectorMetrics
from fluxline_collector.partitions import Weeks
from fluxline_collector.record import Record, record_of
from fluxline_collector.rollup import COLUMNS_READ, rollup_sql

CURSOR_ROWS = 500
_TYPES = {
    "sequence": "bigint",
    "stored_at": "timestamptz",
    "occurred_at": "timestamptz",
    "event_id": "uuid",
    "training_id": "uuid",
    "generation_id": "uuid",
    "retryable": "boolean",
    "attempt": "integer",
    "duration_ms": "bigint",
    "readable": "boolean",
    "redacted": "boolean",
    "body": "bytea",
}
_COLUMNS = [field.name for field in fields(Record)]
_ARRAYS = ", ".join(f"${n}::{_TYPES.get(name, 'text')}[]" for n, name in enumerate(_COLUMNS, start=1))
_VALUES = ", ".join(f"{name}::jsonb" if name in ("facts", "headers") else name for name in _COLUMNS)

# Columns travel as arrays; rows are sorted by the caller, since two unsorted inserts at once can deadlock.
_INSERT = f"""
INSERT INTO events ({", ".join(_COLUMNS)})
SELECT {_VALUES} FROM unnest({_ARRAYS}) AS row ({", ".join(_COLUMNS)})
ON CONFLICT DO NOTHING
RETURNING {COLUMNS_READ}
"""  # noqa: S608 – names of our own columns
_STORE = rollup_sql(_INSERT)
_READ = "SELECT * FROM events WHERE training_id = $1 AND sequence > $2 ORDER BY sequence LIMIT $3"
_READ_ALL = "SELECT * FROM events WHERE training_id = $1 ORDER BY sequence, stored_at"
_REFUSED = (asyncpg.DataError, asyncpg.ProgramLimitExceededError, ValueError, OverflowError)
"""Values that PostgreSQL or its driver will not take, however often they are offered."""

log = get_logger(__name__)


class EventStore:
    """Reads and writes the table `events`, and writes `jobs` and `attempts` with it."""

    def __init__(self, database: Database, metrics: CollectorMetrics) -> None:
        self.database = database
        self.metrics = metrics
        self.weeks = Weeks(database)

    async def store(self, batch: list[Received]) -> None:
        """Store a batch, in one statement; messages that are there already change nothing."""
        records = _records(batch)
        await self._store(records)
        self._observe(records)

    async def add(self, batch: Sequence[Received]) -> int:
        """Store a batch that is not new; returns how many of its messages were missing."""
        return await self._store(_records(batch))

    async def page(self, training_id: UUID, *, after: int, limit: int) -> Sequence[asyncpg.Record]:
        """Up to `limit` rows of the training after sequence `after`, in stream order."""
        rows: list[asyncpg.Record] = await self.database.pool.fetch(_READ, training_id, after, limit)
        return rows

    async def all_of(self, training_id: UUID) -> AsyncIterator[asyncpg.Record]:
        """Every row of the training in stream order, through a cursor: memory does not grow with the job."""
        async with self.database.pool.acquire(timeout=CONNECT_TIMEOUT_S) as connection, connection.transaction():
            async for row in connection.cursor(_READ_ALL, training_id, prefetch=CURSOR_ROWS):
                yield row

    async def _store(self, records: Sequence[Record]) -> int:
        """As one batch; where a value is refused, the half without it all the same, and its own row without facts."""
        try:
            return await self._insert(records)
        except _REFUSED as error:
            if len(records) > 1:
                half = len(records) // 2
                return await self._store(records[:half]) + await self._store(records[half:])
            record, reason = records[0], type(error).__name__
            log.warning("event.refused", sequence=record.sequence, subject=record.subject, reason=reason)
            return await self._insert([record.bare(f"PostgreSQL does not take its facts ({reason})")])

    async def _insert(self, records: Sequence[Record]) -> int:
        columns = [[getattr(record, name) for record in records] for name in _COLUMNS]
        store = partial(self.database.pool.fetchval, _STORE, *columns)
        return int(await self.weeks.written([record.stored_at for record in records], store))

    def _observe(self, records: Sequence[Record]) -> None:
        self.metrics.stored.inc(len(records))
        self.metrics.unreadable.inc(sum(not record.readable for record in records))
        self.metrics.batch.observe(len(records))
        self.metrics.newest.set((datetime.now(UTC) - records[-1].stored_at).total_seconds())


def _records(batch: Sequence[Received]) -> list[Record]:
    return sorted((record_of(message) for message in batch), key=lambda record: (record.stored_at, record.sequence))
