"""Preparing a PostgreSQL whose administrator may make roles and databases, and is no superuser."""

import asyncio
from collections.abc import Iterator
from urllib.parse import quote

import asyncpg
import pytest

from fluxline_cli.stack.credentials import ROLES
from fluxline_cli.stack.prepare import prepare
from servers import PostgresServer, postgres_server

ADMINISTRATOR = "CREATE ROLE administrator LOGIN CREATEROLE CREATEDB"


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A server of its own: roles belong to no database."""
    with postgres_server() as server:
        asyncio.run(_execute(server.url, ADMINISTRATOR))
        yield server


async def test_an_administrator_who_is_no_superuser_prepares_it_again_and_again(server: PostgresServer) -> None:
    administrator = server.url.replace("postgres@", "administrator@")
    host = server.url.partition("@")[2].rpartition("/")[0]
    for password in ("f00", "it's/new@:%"):
        roles = {role: f"postgresql://{role}:{quote(password, safe='')}@{host}/fluxline" for role in ROLES}
        await prepare(administrator, roles)
    for role, url in roles.items():
        connection = await asyncpg.connect(url)
        try:
            owner = await connection.fetchval(
                "SELECT nspowner::regrole::text FROM pg_namespace WHERE nspname = $1", role
            )
            assert owner == role
            assert await connection.fetchval(f"SELECT count(*) FROM {role}.alembic_version") == 1
            for other in set(ROLES) - {role}:
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await connection.execute(f"SELECT * FROM {other}.alembic_version")
        finally:
            await connection.close()


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
