"""Keeps the tables of alerts at their size."""

from datetime import timedelta
from typing import Final

from fluxline.postgres.pool import Database
from fluxline_collector.alerts.tables import LOOK_BACK

KEEP: Final = timedelta(days=90)
"""Of incidents, from their end on, with their notices; of notices without one as well."""
KEEP_SEEN: Final = LOOK_BACK + timedelta(days=5)
_SWEEP: Final = (
    ("DELETE FROM alert_incidents WHERE resolved_at < now() - $1::interval", KEEP),
    ("DELETE FROM alert_notices WHERE coalesce(sent_at, failed_at) < now() - $1::interval", KEEP),
    ("DELETE FROM alert_failures WHERE seen_at < now() - $1::interval", KEEP_SEEN),
)


class AlertRetention:
    """Every replica runs it; what is gone is gone, so they do not get into each other's way."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def sweep(self) -> None:
        """Drop what is over."""
        for statement, keep in _SWEEP:
            await self._database.pool.execute(statement, keep)
