"""Keeps the table `logs` at its size: weeks made ahead, and dropped whole once they are over."""

from datetime import timedelta

from fluxline.postgres.pool import Database
from fluxline_collector.partitions import Weeks
from fluxline_collector.periodic import alone


class LogRetention:
    """Keeps logs for `keep`. Every replica runs it, one at a time drops."""

    def __init__(self, database: Database, keep: timedelta) -> None:
        self._database = database
        self._weeks = Weeks(database, "logs")
        self._keep = keep

    async def sweep(self) -> list[str]:
        """Make the coming weeks and drop what is over; the names of the weeks that were dropped."""
        await self._weeks.make_ahead()
        async with alone(self._database, "log_retention") as connection:
            return await self._weeks.drop_over(self._keep) if connection else []
