"""The weeks that `events` and `logs` are divided into: made ahead and on demand, dropped whole when they are over.

A week is that of the broker's clock. The few messages that a wrong clock dates years away are stored like all others,
in weeks of their own, which go with the rest once they are over.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import asyncpg

from fluxline.postgres.pool import Database
from fluxline.runtime.logs import get_logger

R = TypeVar("R")
WEEKS_AHEAD = 3
DETACH_TIMEOUT_S = 60.0
_ENSURE = "SELECT ensure_week($2, at) FROM unnest($1::timestamptz[]) AS needed (at) ORDER BY at"
_NOW = "SELECT now()"
_OVER = """
SELECT quote_ident(relname) AS name, inhdetachpending AS pending FROM pg_class LEFT JOIN pg_inherits ON inhrelid = oid
WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'
    AND relname ~ ('^' || $2::text || '_[0-9]{4}w[0-9]{2}$')
    AND to_date(right(relname, 7), 'IYYY"w"IW') + 7 <= ((now() - $1::interval) AT TIME ZONE 'UTC')::date
ORDER BY relname
"""
"""Also those that were detached and not dropped, because the process ended in between (`pending` is null)."""

log = get_logger(__name__)


def week_of(at: datetime) -> datetime:
    """The Monday, 00:00 UTC, of the week that `at` falls into."""
    day = at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return day - timedelta(days=day.weekday())


class Weeks:
    """Which weeks of a table there are, as this process knows; another one may have dropped some."""

    def __init__(self, database: Database, table: str = "events") -> None:
        self._database = database
        self._table = table
        self._known: set[datetime] = set()

    async def ensure(self, times: Iterable[datetime], *, anew: bool = False) -> None:
        """Make the weeks that hold `times`; with `anew` also those that should be there."""
        needed = {week_of(at) for at in times}
        missing = needed if anew else needed - self._known
        if missing:
            await self._database.pool.execute(_ENSURE, sorted(missing), self._table)
            self._known |= missing

    async def written(self, times: Sequence[datetime], write: Callable[[], Awaitable[R]]) -> R:
        """What `write` says, which puts rows of these `times` into the table; done again when a week was dropped."""
        await self.ensure(times)
        try:
            return await write()
        except asyncpg.CheckViolationError:
            await self.ensure(times, anew=True)
            return await write()

    async def make_ahead(self) -> None:
        """Make this week and the next ones, so that no batch has to wait for it."""
        now: datetime = await self._database.pool.fetchval(_NOW)
        await self.ensure((now + timedelta(weeks=week) for week in range(WEEKS_AHEAD)), anew=True)

    async def drop_over(self, keep: timedelta) -> list[str]:
        """Drop the weeks that ended longer than `keep` ago; returns their names.

        A week is detached before, which waits for its readers and stops nobody; dropped at once, it would make
        everybody wait who comes after one reader.
        """
        rows = await self._database.pool.fetch(_OVER, keep, self._table)
        for row in rows:
            await self._drop(row)
        return [row["name"] for row in rows]

    async def _drop(self, row: asyncpg.Record) -> None:
        name, pool = row["name"], self._database.pool
        if row["pending"] is not None:
            how = "FINALIZE" if row["pending"] else "CONCURRENTLY"
            await pool.execute(f"ALTER TABLE {self._table} DETACH PARTITION {name} {how}", timeout=DETACH_TIMEOUT_S)
        self._known.clear()
        await pool.execute(f"DROP TABLE IF EXISTS {name}")
        log.info("week.dropped", week=name)
