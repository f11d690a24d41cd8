"""API keys that were good a moment ago, so that most requests cost no query for theirs."""

import time

from fluxline.postgres.pool import Database
from fluxline_gateway import keys

CACHE_S = 10.0
MAX_CACHED = 10_000


class KeyCache:
    """The keys verified within the last ten seconds. A revoked one is honoured for as long."""

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[float, keys.Principal]] = {}

    async def verify(self, database: Database, key: str) -> keys.Principal | None:
        """As `verify`, at most ten seconds late."""
        digest = keys.digest(key)
        at, principal = self._known.get(digest, (-CACHE_S, None))
        if time.monotonic() - at < CACHE_S:
            return principal
        self._known.pop(digest, None)
        principal = await keys.verify(database.pool, key)
        if principal:
            if len(self._known) >= MAX_CACHED:
                self._known.clear()
            self._known[digest] = time.monotonic(), principal
        return principal
