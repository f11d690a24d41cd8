"""When keys were last used: to the minute, written behind the requests. What a crash loses is noted the next time."""

import time
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from fluxline.postgres.pool import Database

FLUSH_S: Final = 5.0
EVERY_S: Final = 60.0
"""A process writes a key's use once in this time."""
MAX_NOTED: Final = 10_000

_WRITE = """
WITH used AS (
    SELECT k.id, u.at FROM unnest($1::uuid[], $2::timestamptz[]) AS u (id, at) JOIN api_keys k ON k.id = u.id
    WHERE k.last_used_at IS NULL OR k.last_used_at < u.at
    ORDER BY k.id FOR NO KEY UPDATE OF k
)
UPDATE api_keys SET last_used_at = used.at FROM used WHERE api_keys.id = used.id
"""


class KeyUse:
    """The keys that were used and when, until it is written."""

    def __init__(self) -> None:
        self._noted: dict[UUID, float] = {}
        self._pending: dict[UUID, datetime] = {}

    def note(self, key_id: UUID | None) -> None:
        """A request came with this key (None: with none of ours); costs no waiting."""
        now = time.monotonic()
        if key_id is None or now - self._noted.get(key_id, float("-inf")) < EVERY_S:
            return
        if len(self._noted) >= MAX_NOTED:
            self._noted.clear()
        if len(self._pending) < MAX_NOTED:
            self._noted[key_id] = now
            self._pending[key_id] = datetime.now(UTC)

    async def flush(self, database: Database) -> None:
        """Write what is noted."""
        written, self._pending = self._pending, {}
        if written:
            try:
                await database.pool.execute(_WRITE, list(written), list(written.values()))
            except BaseException:
                self._pending = written | self._pending
                raise
