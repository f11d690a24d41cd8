"""What keeps the tables at their size: weeks made ahead, weeks and rows dropped once their time is over.

Every replica runs it; an advisory lock lets one at a time drop.
"""

from datetime import timedelta

from fluxline.postgres.pool import Database
from fluxline_collector.partitions import Weeks
from fluxline_collector.periodic import alone

EVERY_S = 3600.0
RETRY_S = 60.0
ROWS_AT_ONCE = 5_000
_TRIM = (
    "DELETE FROM jobs WHERE training_id = ANY (ARRAY("
    "SELECT training_id FROM jobs WHERE last_at < now() - $1::interval LIMIT $2)) RETURNING 1",
    "DELETE FROM attempts WHERE event_id = ANY (ARRAY("
    "SELECT event_id FROM attempts WHERE stored_at < now() - $1::interval LIMIT $2)) RETURNING 1",
)


class Housekeeping:
    """Keeps events for `keep`, jobs and attempts for `keep_jobs`."""

    def __init__(self, database: Database, keep: timedelta, keep_jobs: timedelta) -> None:
        self._database = database
        self._weeks = Weeks(database)
        self._keep = keep
        self._keep_jobs = keep_jobs

    async def sweep(self) -> list[str]:
        """Make the coming weeks and drop what is over; the names of the weeks that were dropped."""
        await self._weeks.make_ahead()
        async with alone(self._database, "housekeeping") as connection:
            if connection is None:
                return []
            dropped = await self._weeks.drop_over(self._keep)
            for statement in _TRIM:
                while len(await connection.fetch(statement, self._keep_jobs, ROWS_AT_ONCE)) == ROWS_AT_ONCE:
                    pass
            return dropped
