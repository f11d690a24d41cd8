"""API keys: `fl_` and 40 random characters, shown once, stored as their SHA-256.

`python -m fluxline_gateway.keys create --owner NAME [--json]` with the gateway's DATABASE_URL.
"""

import argparse
import asyncio
import hashlib
import json
import os
import re
import secrets
import string
import sys
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

import asyncpg
from pydantic import TypeAdapter, ValidationError

from fluxline.contracts.ids import OwnerName
from fluxline.postgres.pool import CONNECT_TIMEOUT_S, Connection, Pool
from fluxline_gateway.migrations import SCHEMA

Executor: TypeAlias = "asyncpg.Connection[asyncpg.Record] | Connection | Pool"

_ALPHABET = string.ascii_letters + string.digits
_KEY = re.compile(r"fl_[A-Za-z0-9]{40}")
_OWNER: TypeAdapter[str] = TypeAdapter(OwnerName)

_INSERT = "INSERT INTO api_keys (owner, key_sha256) VALUES ($1, $2) RETURNING id"
_VERIFY = """
SELECT owner, id, scopes FROM api_keys
WHERE key_sha256 = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
"""
_LIST = """
SELECT id, owner, scopes, created_at, expires_at, revoked_at FROM api_keys
WHERE $1::text IS NULL OR owner = $1 ORDER BY created_at, id
"""
_REVOKE = "UPDATE api_keys SET revoked_at = now() WHERE id = $1 AND revoked_at IS NULL RETURNING true"


@dataclass(frozen=True)
class Principal:
    """Whom a request speaks for."""

    owner: str
    key_id: UUID
    scopes: frozenset[str]


@dataclass(frozen=True)
class KeyRecord:
    """A key as it is stored: everything but the key."""

    id: UUID
    owner: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


async def create(connection: Executor, owner: str) -> tuple[str, UUID]:
    """Make a key for `owner` (an OwnerName); returns it, which nobody can do again, and its id."""
    key = "fl_" + "".join(secrets.choice(_ALPHABET) for _ in range(40))
    return key, await connection.fetchval(_INSERT, _OWNER.validate_python(owner), digest(key))


async def verify(connection: Executor, key: str) -> Principal | None:
    """Whose key this is; None for one that is malformed, unknown, revoked or expired."""
    if not _KEY.fullmatch(key):
        return None
    row = await connection.fetchrow(_VERIFY, digest(key))
    return Principal(row["owner"], row["id"], frozenset(row["scopes"])) if row else None


async def list_keys(connection: Executor, owner: str | None = None) -> list[KeyRecord]:
    """All keys, or those of `owner`, oldest first."""
    return [KeyRecord(**{**row, "scopes": tuple(row["scopes"])}) for row in await connection.fetch(_LIST, owner)]


async def revoke(connection: Executor, key_id: UUID) -> bool:
    """End a key; False when there is none that lives. Gateways notice within ten seconds."""
    return await connection.fetchval(_REVOKE, key_id) is not None


def digest(key: str) -> bytes:
    """What is stored of a key: 160 random bits need no salt and no slow hash."""
    return hashlib.sha256(key.encode(errors="replace")).digest()


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    options = _parser().parse_args(arguments)
    url = os.environ.get("DATABASE_URL")
    if not url:
        return _complain("DATABASE_URL: is not set → set it to the gateway's database, as postgresql://gateway:...@...")
    try:
        return asyncio.run(_run(url, options))
    except ValidationError:
        return _complain("--owner: use 1 to 63 of a-z, 0-9, - and _, starting with a letter or a digit")
    except asyncpg.UndefinedTableError:
        return _complain("The schema is not migrated → run `python -m fluxline.postgres.migrate fluxline_gateway`")
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        return _complain(f"PostgreSQL refuses ({type(error).__name__}) → check DATABASE_URL and that PostgreSQL is up")


async def _run(url: str, options: argparse.Namespace) -> int:
    connection = await asyncpg.connect(
        url, timeout=CONNECT_TIMEOUT_S, command_timeout=CONNECT_TIMEOUT_S, server_settings={"search_path": SCHEMA}
    )
    try:
        if options.command == "create":
            key, key_id = await create(connection, options.owner)
            print(json.dumps({"key": key, "id": str(key_id), "owner": options.owner}) if options.json else key)
        elif options.command == "list":
            for record in await list_keys(connection, options.owner):
                print(json.dumps(vars(record), default=str))
        elif not await revoke(connection, options.id):
            return _complain(f"{options.id}: no such key, or it is revoked already")
    finally:
        await connection.close()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fluxline_gateway.keys", description="API keys of the gateway")
    commands = parser.add_subparsers(dest="command", required=True)
    create_ = commands.add_parser("create", help="make a key and print it")
    create_.add_argument("--owner", required=True)
    create_.add_argument("--json", action="store_true", help="print key, id and owner as JSON")
    commands.add_parser("list", help="print all keys' facts, a JSON object a line").add_argument("--owner")
    commands.add_parser("revoke", help="end a key").add_argument("id", type=UUID)
    return parser


def _complain(text: str) -> int:
    print(text, file=sys.stderr)
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
