"""API keys: `fl_` and 40 random characters, shown once, stored as their SHA-256.

`python -m fluxline_gateway.identity.keys create --owner NAME [--json]` with DATABASE_URL set (see `key_command`).
"""

import hashlib
import re
import secrets
import string
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeAlias
from uuid import UUID

import asyncpg
from pydantic import TypeAdapter

from fluxline.contracts.ids import OwnerName
from fluxline.postgres.pool import Connection, Pool

Executor: TypeAlias = "asyncpg.Connection[asyncpg.Record] | Connection | Pool"

HINT_CHARS: Final = 6
"""How much of a key may be shown, so that its holder tells it from others: `fl_` and three characters."""
_ALPHABET = string.ascii_letters + string.digits
_KEY = re.compile(r"fl_[A-Za-z0-9]{40}")
_OWNER: TypeAdapter[str] = TypeAdapter(OwnerName)

_INSERT = """
INSERT INTO api_keys (owner, key_sha256, hint, name, scopes, expires_at) VALUES ($1, $2, $3, $4, $5, $6) RETURNING id
"""
_GOOD = "revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())"
_VERIFY = f"SELECT owner, id, scopes, expires_at FROM api_keys WHERE key_sha256 = $1 AND {_GOOD}"  # noqa: S608
_HOLD = f"SELECT true FROM api_keys WHERE id = $1 AND {_GOOD} FOR SHARE"  # noqa: S608  # a constant condition
_LIVING = f"SELECT id FROM api_keys WHERE id = ANY($1::uuid[]) AND {_GOOD}"  # noqa: S608  # as above
_FACTS = "SELECT id, owner, name, hint, scopes, created_at, expires_at, last_used_at, revoked_at FROM api_keys"
_LIST = f"{_FACTS} WHERE $1::text IS NULL OR owner = $1 ORDER BY created_at, id"
_FIND = f"{_FACTS} WHERE id = $1"
_PAGE = f"""
{_FACTS} WHERE owner = $1 AND ($2::timestamptz IS NULL OR (created_at, id) < ($2, $3::uuid))
ORDER BY created_at DESC, id DESC LIMIT $4
"""
_REVOKE = "UPDATE api_keys SET revoked_at = now() WHERE id = $1 AND revoked_at IS NULL RETURNING true"


@dataclass(frozen=True)
class Principal:
    """Whom a request speaks for, until when; `key_id` is null for who came with another token than a key."""

    owner: str
    key_id: UUID | None
    scopes: frozenset[str]
    expires_at: datetime | None = None

    def may(self, scope: str) -> bool:
        """Whether it has the scope; `admin` implies the others."""
        return scope in self.scopes or "admin" in self.scopes


@dataclass(frozen=True)
class KeyRecord:
    """A key as it is stored: everything but the key. `hint` is what the key begins with."""

    id: UUID
    owner: str
    name: str
    hint: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None


async def create(
    connection: Executor,
    owner: str,
    *,
    name: str = "",
    scopes: Sequence[str] = ("read", "write"),
    expires_at: datetime | None = None,
) -> tuple[str, UUID]:
    """Make a key for `owner` (an OwnerName); returns it, which nobody can do again, and its id."""
    key = "fl_" + "".join(secrets.choice(_ALPHABET) for _ in range(40))
    facts = (_OWNER.validate_python(owner), digest(key), key[:HINT_CHARS], name, list(scopes), expires_at)
    return key, await connection.fetchval(_INSERT, *facts)


async def verify(connection: Executor, key: str) -> Principal | None:
    """Whose key this is; None for one that is malformed, unknown, revoked or expired."""
    if not is_key(key):
        return None
    row = await connection.fetchrow(_VERIFY, digest(key))
    return Principal(row["owner"], row["id"], frozenset(row["scopes"]), row["expires_at"]) if row else None


async def living(connection: Executor, key_ids: Collection[UUID]) -> set[UUID]:
    """Those of the keys that are good."""
    return {row["id"] for row in await connection.fetch(_LIVING, list(key_ids))}


async def hold(connection: Connection, key_id: UUID) -> bool:
    """Whether the key is good, which it then stays until the end of the running transaction."""
    return await connection.fetchval(_HOLD, key_id) is not None


async def find(connection: Executor, key_id: UUID) -> KeyRecord | None:
    """The key of that id, whosever it is."""
    row = await connection.fetchrow(_FIND, key_id)
    return _record(row) if row else None


async def page(connection: Executor, owner: str, after: tuple[datetime, UUID] | None, limit: int) -> list[KeyRecord]:
    """The owner's keys, ended ones too, newest first."""
    return [_record(row) for row in await connection.fetch(_PAGE, owner, *(after or (None, None)), limit)]


async def list_keys(connection: Executor, owner: str | None = None) -> list[KeyRecord]:
    """All keys, or those of `owner`, oldest first."""
    return [_record(row) for row in await connection.fetch(_LIST, owner)]


async def revoke(connection: Executor, key_id: UUID) -> bool:
    """End a key; False when there is none that lives. Gateways notice within ten seconds."""
    return await connection.fetchval(_REVOKE, key_id) is not None


def is_key(text: str) -> bool:
    """Whether it looks like a key."""
    return _KEY.fullmatch(text) is not None


def digest(key: str) -> bytes:
    """What is stored of a key: 160 random bits need no salt and no slow hash."""
    return hashlib.sha256(key.encode(errors="replace")).digest()


def _record(row: asyncpg.Record) -> KeyRecord:
    return KeyRecord(**{**row, "scopes": tuple(row["scopes"])})


if __name__ == "__main__":
    from fluxline_gateway.identity.key_command import main

    raise SystemExit(main())
