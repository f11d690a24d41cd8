"""The collector's table: batches in, a job's events out in stream order."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from uuid import UUID

import asyncpg

from fluxline.postgres.pool import CONNECT_TIMEOUT_S, Database
from fluxline.runtime.envelope import Received
from fluxline_collector.metrics import CollectorMetrics
from fluxline_collector.record import Record, record_of

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
"""  # noqa: S608 – names of our own columns
_READ = "SELECT * FROM events WHERE training_id = $1 AND sequence > $2 ORDER BY sequence LIMIT $3"
_READ_ALL = "SELECT * FROM events WHERE training_id = $1 ORDER BY sequence, stored_at"


class EventStore:
    """Reads and writes the table `events`."""

    def __init__(self, database: Database, metrics: CollectorMetrics) -> None:
        self.database = database
        self.metrics = metrics

    async def store(self, batch: list[Received]) -> None:
        """Store a batch, in one statement; messages that are there already change nothing."""
        records = sorted((record_of(message) for message in batch), key=lambda r: (r.stored_at, r.sequence))
        columns = [[getattr(record, name) for record in records] for name in _COLUMNS]
        await self.database.pool.execute(_INSERT, *columns)
        self._observe(records)

    async def page(self, training_id: UUID, *, after: int, limit: int) -> Sequence[asyncpg.Record]:
        """Up to `limit` rows of the training after sequence `after`, in stream order."""
        rows: list[asyncpg.Record] = await self.database.pool.fetch(_READ, training_id, after, limit)
        return rows

    async def all_of(self, training_id: UUID) -> AsyncIterator[asyncpg.Record]:
        """Every row of the training in stream order, through a cursor: memory does not grow with the job."""
        async with self.database.pool.acquire(timeout=CONNECT_TIMEOUT_S) as connection, connection.transaction():
            async for row in connection.cursor(_READ_ALL, training_id, prefetch=CURSOR_ROWS):
                yield row

    def _observe(self, records: Sequence[Record]) -> None:
        self.metrics.stored.inc(len(records))
        self.metrics.unreadable.inc(sum(not record.readable for record in records))
        self.metrics.batch.observe(len(records))
        self.metrics.lag.set((datetime.now(UTC) - records[-1].stored_at).total_seconds())
