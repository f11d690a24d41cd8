"""Keeps the table `logs` at its size: weeks made ahead, and dropped whole once they are over."""

from datetime import timedelta
from typing import Final

from fluxline.postgres.pool import CONNECT_TIMEOUT_S, Database
from fluxline_collector.partitions import Weeks

_LOCK: Final = "SELECT pg_try_advisory_lock(hashtextextended('fluxline_collector.log_retention', 0))"
_UNLOCK: Final = "SELECT pg_advisory_unlock(hashtextextended('fluxline_collector.log_retention', 0))"


class LogRetention:
    """Keeps logs for `keep`. Every replica runs it, one at a time drops."""

    def __init__(self, database: Database, keep: timedelta) -> None:
        self._database = database
        self._weeks = Weeks(database, "logs")
        self._keep = keep

    async def sweep(self) -> list[str]:
        """Make the coming weeks and drop what is over; the names of the weeks that were dropped."""
        await self._weeks.make_ahead()
        async with self._database.pool.acquire(timeout=CONNECT_TIMEOUT_S) as connection:
            if not await connection.fetchval(_LOCK):
                return []
            try:
                return await self._weeks.drop_over(self._keep)
            finally:
                await connection.execute(_UNLOCK)
