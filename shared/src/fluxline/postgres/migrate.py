"""Schema migrations by Alembic: `python -m fluxline.postgres.migrate fluxline_gateway` with DATABASE_URL set.

A service keeps its revisions in `<package>/migrations`; its schema (and version table) is named by
`SCHEMA` in `<package>.migrations`. Revisions are plain SQL in `op.execute`.
"""

import asyncio
import importlib
import sys
from pathlib import Path
from typing import Any

from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from fluxline.runtime.settings import required_value_of

MIGRATION_LOCK = 7_340_195
"""The advisory lock that lets one migration run at a time."""


async def migrate(database_url: str, package: str, revision: str = "head") -> None:
    """Bring the schema of the service in `package` up to `revision`, by default its newest.

    Does nothing when it is there, and nothing to a schema of a newer version of the service: revisions only add, so
    this version works with it, as after a rollback.
    """
    schema, scripts = _scripts(package)
    url = "postgresql+asyncpg://" + database_url.split("://", 1)[1]
    engine = create_async_engine(url, poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            await connection.run_sync(_upgrade, schema, scripts, revision)
    finally:
        await engine.dispose()


def _upgrade(connection: Connection, schema: str, scripts: ScriptDirectory, revision: str) -> None:
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
    exists = connection.scalar(text("SELECT to_regnamespace(:schema) IS NOT NULL"), {"schema": schema})
    if not exists:
        connection.execute(text(f'CREATE SCHEMA "{schema}"'))
    connection.execute(text(f'SET LOCAL search_path TO "{schema}"'))
    environment = EnvironmentContext(Config(), scripts)
    environment.configure(connection=connection, fn=lambda found, _: _steps(scripts, revision, found))
    context: MigrationContext = environment.get_context()
    with Operations.context(context):
        context.run_migrations()


def _steps(scripts: ScriptDirectory, wanted: str, found: Any) -> list[Any]:
    """The revisions from those `found` on; none from one that this version does not know yet. They are numbers."""
    newest = scripts.get_current_head() or ""
    if any(revision > newest for revision in found):
        return []
    return list(scripts._upgrade_revs(wanted, found))


def _scripts(package: str) -> tuple[str, ScriptDirectory]:
    module = importlib.import_module(f"{package}.migrations")
    folder = Path(str(module.__file__)).parent
    return str(module.SCHEMA), ScriptDirectory(str(folder), version_locations=[str(folder)])


def main() -> None:
    """Migrate the packages named as arguments."""
    url = required_value_of("DATABASE_URL")
    for package in sys.argv[1:]:
        asyncio.run(migrate(url, package))


if __name__ == "__main__":
    main()
