"""Makes PostgreSQL ready for the services: roles, the database, a schema for each, migrations.

`python -m fluxline_cli.stack.prepare` with DATABASE_URL (the superuser's) and DATABASE_URL_<ROLE>; one process
for all of it, because importing the migration tool is the slow part.
"""

import asyncio
import os
import time
from urllib.parse import unquote, urlsplit

import asyncpg

from fluxline.postgres.migrate import migrate
from fluxline_cli.stack.credentials import ROLES

CONNECT_FOR_S = 60.0
CONNECT_POLL_S = 0.1
DATABASE = "fluxline"
_NOT_YET = (OSError, asyncpg.CannotConnectNowError, asyncpg.ConnectionDoesNotExistError)


async def prepare(superuser_url: str, role_urls: dict[str, str]) -> None:
    """Make what is missing. Safe to run any number of times."""
    server = await _connect(superuser_url)
    try:
        await ensure_roles(server, role_urls)
        if not await server.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE):
            await server.execute(f'CREATE DATABASE "{DATABASE}"')
    finally:
        await server.close()
    await _ensure_schemas(superuser_url.rsplit("/", 1)[0] + f"/{DATABASE}", list(role_urls))
    for role, url in role_urls.items():
        await migrate(url, f"fluxline_{role}")


async def ensure_roles(server: asyncpg.Connection, role_urls: dict[str, str], *, only_missing: bool = False) -> None:
    """Make each role with the password of its address; with `only_missing` those that are there keep theirs."""
    known = {row["rolname"] for row in await server.fetch("SELECT rolname FROM pg_roles")}
    for role, url in role_urls.items():
        if not (only_missing and role in known):
            await _ensure_role(server, role, unquote(str(urlsplit(url).password)))


async def _connect(url: str) -> asyncpg.Connection:
    deadline = time.monotonic() + CONNECT_FOR_S
    while True:
        try:
            return await asyncpg.connect(url, timeout=5)
        except _NOT_YET:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(CONNECT_POLL_S)


async def _ensure_role(server: asyncpg.Connection, role: str, password: str) -> None:
    """Role names are ours; DDL takes no parameters.

    Who is no superuser, as with managed servers, has to be a member of the role to make a schema for it.
    """
    known = await server.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", role)
    literal = await server.fetchval("SELECT quote_literal($1::text)", password)
    await server.execute(f'{"ALTER" if known else "CREATE"} ROLE "{role}" LOGIN PASSWORD {literal}')
    if not await server.fetchval("SELECT pg_has_role(current_user, $1::name, 'USAGE')", role):
        await server.execute(f'GRANT "{role}" TO CURRENT_USER')


async def _ensure_schemas(url: str, roles: list[str]) -> None:
    database = await asyncpg.connect(url, timeout=5)
    try:
        await database.execute(f'REVOKE ALL ON DATABASE "{DATABASE}" FROM PUBLIC')
        for role in roles:
            await database.execute(f'GRANT CONNECT ON DATABASE "{DATABASE}" TO "{role}"')
            await database.execute(f'CREATE SCHEMA IF NOT EXISTS "{role}" AUTHORIZATION "{role}"')
    finally:
        await database.close()


def main() -> None:
    """Prepare the server that the environment names."""
    asyncio.run(
        prepare(os.environ["DATABASE_URL"], {role: os.environ[f"DATABASE_URL_{role.upper()}"] for role in ROLES})
    )


if __name__ == "__main__":
    main()
