"""The inbox: an event has its effect once, however often it is delivered."""

from datetime import timedelta
from uuid import UUID

from fluxline.postgres.pool import Connection, Database

KEEP = timedelta(days=100)
"""Longer than any stream keeps a message that could come again: dead letters are kept for 90 days."""

TABLE_SQL = """
CREATE TABLE inbox (
    consumer text NOT NULL,
    event_id uuid NOT NULL,
    handled_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (consumer, event_id)
);
CREATE INDEX inbox_handled ON inbox (handled_at);
"""
"""For a service's first migration."""


async def first_time(connection: Connection, consumer: str, event_id: UUID) -> bool:
    """Whether this event is new to `consumer`; to be asked in the transaction of the effect."""
    return (
        await connection.fetchval(
            "INSERT INTO inbox (consumer, event_id) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING true",
            consumer,
            event_id,
        )
        is not None
    )


async def purge(database: Database) -> None:
    """Forget what was handled longer than `KEEP` ago."""
    await database.pool.execute("DELETE FROM inbox WHERE handled_at < now() - $1::interval", KEEP)
