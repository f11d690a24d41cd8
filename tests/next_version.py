"""The schema that a next version could leave: what this one must be able to work with during an upgrade."""

from importlib import import_module

import asyncpg

TABLES = """
SELECT r.oid::regclass::text FROM pg_class r JOIN pg_namespace n ON n.oid = r.relnamespace
WHERE n.nspname = $1 AND r.relkind IN ('r', 'p') AND NOT r.relispartition AND r.relname <> 'alembic_version'
"""


async def expand(url: str, package: str) -> None:
    """Add to each table of the package's schema columns of every kind that a migration may add."""
    connection = await asyncpg.connect(url)
    try:
        for [table] in await connection.fetch(TABLES, import_module(f"{package}.migrations").SCHEMA):
            await connection.execute(
                f"ALTER TABLE {table} ADD COLUMN aaa_next text, ADD COLUMN next_version integer NOT NULL DEFAULT 7,"
                " ADD COLUMN next_at timestamptz DEFAULT '2026-01-01Z'"
            )
    finally:
        await connection.close()
