"""Putting a backup back: the database beside the old one and then in its place, the streams made anew and filled.

Nothing changes before the new database is loaded, counted and told that it was restored (`AFTER_RESTORE` of each
service's migrations). The streams go first: without them the old database mends itself, and so does the new one.
"""

import secrets
from collections.abc import Callable
from pathlib import Path

import asyncpg
from nats.js import JetStreamContext

from fluxline.contracts.catalog import EVENTS_STREAM
from fluxline.runtime.provision import provision
from fluxline_cli.backup import database, streams
from fluxline_cli.backup.database import connected, with_database
from fluxline_cli.backup.errors import BackupError
from fluxline_cli.backup.losses import Report, compare_files, migrations_of, note_lost_orders
from fluxline_cli.backup.manifest import Manifest
from fluxline_cli.backup.system import System
from fluxline_cli.stack.prepare import DATABASE, ensure_roles, prepare

Say = Callable[[str], None]
_DISCONNECT = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = ANY($1::text[])"
_STOP = "stop every service first; a restore needs them at rest"


async def rehearse(system: System, folder: Path, manifest: Manifest, say: Say) -> None:
    """Load the backup into a database of its own, count it, and remove that; changes nothing else."""
    async with connected(system.superuser_url) as server:
        await ensure_roles(server, system.roles, only_missing=True)
        scratch = await _load_beside(server, system, folder, manifest)
        await _drop(server, scratch)
    say(f"the dump was loaded into a database of its own: all {sum(manifest.database.rows.values())} rows are there")


async def restore(
    system: System, folder: Path, manifest: Manifest, say: Say, *, force: bool, replicas: int = 1
) -> Report:
    """Make the system what the backup says; raises BackupError when it is in use, or not empty and not `force`."""
    report = Report(rows=sum(manifest.database.rows.values()))
    async with connected(system.superuser_url) as server, system.jetstream() as jetstream:
        await _require_rest(server, jetstream)
        await _require_empty(server, system, jetstream, force=force)
        await ensure_roles(server, system.roles)
        scratch = await _load_beside(server, system, folder, manifest)
        say(f"PostgreSQL: {report.rows} rows loaded and counted")
        try:
            await _tell(system, scratch)
            await note_lost_orders(report, with_database(system.superuser_url, scratch), jetstream, manifest)
            for name in streams.MADE_ANEW:
                await streams.remove(jetstream, name)
            await _put_in_place(server, scratch)
        except BaseException:
            await _drop(server, scratch)
            raise
        await prepare(system.superuser_url, system.roles)
        await provision(system.nats_url, replicas=replicas)
        say("PostgreSQL: in place; NATS: streams and consumers made anew")
        report.messages = await _fill(jetstream, folder, manifest)
        for name, count in report.messages.items():
            say(f"NATS: {count} messages of {name} put back")
    if system.storage is None:
        say("storage: none is configured here, so its files are not compared")
    await compare_files(report, system)
    return report


async def fill_streams(system: System, folder: Path, manifest: Manifest, *, replicas: int = 1) -> dict[str, int]:
    """After the loss of NATS alone: make its streams, and put back what only they knew; the rest comes by itself."""
    await provision(system.nats_url, replicas=replicas)
    async with system.jetstream() as jetstream:
        return await _fill(jetstream, folder, manifest)


async def _require_rest(server: asyncpg.Connection, jetstream: JetStreamContext) -> None:
    if at_work := await database.services_at_work(server, DATABASE):
        raise BackupError(f"services are connected to the database: {', '.join(at_work)}", hint=_STOP)
    if at_work := await streams.consumers_at_work(jetstream):
        raise BackupError(f"services read the stream: {', '.join(at_work)}", hint=_STOP)


async def _require_empty(
    server: asyncpg.Connection, system: System, jetstream: JetStreamContext, *, force: bool
) -> None:
    rows = 0
    if await server.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE):
        async with connected(system.database_url) as connection:
            counted = await database.count_rows(connection)
        rows = sum(count for table, count in counted.items() if not table.endswith(".alembic_version"))
    messages, _ = await streams.state_of(jetstream, EVENTS_STREAM.name)
    if (rows or messages) and not force:
        raise BackupError(
            f"the system is not empty: {rows} rows in PostgreSQL, {messages} messages in {EVENTS_STREAM.name}",
            hint="--force replaces all of it by the backup",
        )


async def _load_beside(server: asyncpg.Connection, system: System, folder: Path, manifest: Manifest) -> str:
    """A new database with the dump in it, counted; its name."""
    name = f"{DATABASE}_{secrets.token_hex(4)}"
    await server.execute(f'CREATE DATABASE "{name}"')
    url = with_database(system.superuser_url, name)
    try:
        await database.load(url, folder / manifest.database.file.name)
        async with connected(url) as connection:
            counted = await database.count_rows(connection)
    except BaseException:
        await _drop(server, name)
        raise
    if counted != manifest.database.rows:
        await _drop(server, name)
        differing = sorted(set(counted.items()) ^ set(manifest.database.rows.items()))
        raise BackupError(f"the loaded rows are not those of the backup: {differing[:6]}", hint="use another backup")
    return name


async def _tell(system: System, scratch: str) -> None:
    """Bring the schemas to the newest revision, and have each service's know that time has passed without it."""
    from fluxline.postgres.migrate import migrate  # it takes most of a second to import

    for role, url in system.roles.items():
        await migrate(with_database(url, scratch), f"fluxline_{role}")
        async with connected(with_database(url, scratch)) as connection, connection.transaction():
            await connection.execute(f'SET LOCAL search_path TO "{role}"')
            for statement in getattr(migrations_of(role), "AFTER_RESTORE", ()):
                await connection.execute(statement)


async def _put_in_place(server: asyncpg.Connection, scratch: str) -> None:
    """The loaded database becomes the one in use; the old one goes once that is done. Who looks on is disconnected."""
    replaced = f"{scratch}_replaced"
    async with server.transaction():
        await server.execute(_DISCONNECT, [DATABASE, scratch])
        if await server.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE):
            await server.execute(f'ALTER DATABASE "{DATABASE}" RENAME TO "{replaced}"')
        await server.execute(f'ALTER DATABASE "{scratch}" RENAME TO "{DATABASE}"')
    await _drop(server, replaced)


async def _fill(jetstream: JetStreamContext, folder: Path, manifest: Manifest) -> dict[str, int]:
    """Put the copied messages into the streams that were lost; one that survived knows better than the backup."""
    filled = {}
    for name, copied in manifest.streams.items():
        _, last_sequence = await streams.state_of(jetstream, name)
        if last_sequence == 0:
            filled[name] = await streams.put_back(jetstream, name, folder / copied.file.name)
    return filled


async def _drop(server: asyncpg.Connection, name: str) -> None:
    await server.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
