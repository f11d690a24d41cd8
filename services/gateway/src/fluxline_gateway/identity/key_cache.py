"""API keys that were good or unknown a moment ago, so that most requests cost no query for theirs."""

import time
from datetime import UTC, datetime
from typing import TypeVar
from uuid import UUID

from fluxline.postgres.pool import Database
from fluxline_gateway.identity import keys

CACHE_S = 10.0
UNKNOWN_S = 3.0
"""How long a key that was refused is refused without another look: whoever insists costs the database nothing."""
MAX_CACHED = 10_000
V = TypeVar("V")


class KeyCache:
    """The keys verified within the last ten seconds. A revoked one is honoured for as long, an expired one is not."""

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[float, keys.Principal]] = {}
        self._unknown: dict[bytes, float] = {}

    async def verify(self, database: Database, key: str) -> keys.Principal | None:
        """As `verify`, at most ten seconds late."""
        if not keys.is_key(key):
            return None
        digest = keys.digest(key)
        refused_at = self._unknown.get(digest)
        if refused_at is not None and time.monotonic() - refused_at < UNKNOWN_S:
            return None
        found = self._known.get(digest)
        if found is not None and time.monotonic() - found[0] < CACHE_S:
            return found[1] if _lives(found[1]) else None
        return await self._look(database, key, digest)

    async def _look(self, database: Database, key: str, digest: bytes) -> keys.Principal | None:
        self._known.pop(digest, None)
        principal = await keys.verify(database.pool, key)
        if principal:
            _keep(self._known, digest, (time.monotonic(), principal))
        else:
            _keep(self._unknown, digest, time.monotonic())
        return principal

    def forget(self, key_id: UUID) -> None:
        """Take this process's next look at a key at the database: it was revoked here."""
        self._known = {digest: known for digest, known in self._known.items() if known[1].key_id != key_id}


def _lives(principal: keys.Principal) -> bool:
    return principal.expires_at is None or principal.expires_at > datetime.now(UTC)


def _keep(kept: dict[bytes, V], digest: bytes, value: V) -> None:
    if len(kept) >= MAX_CACHED:
        kept.clear()
    kept[digest] = value
