"""The outbox of notices: each is sent at least once, tried again with growing pauses, given up after a day.

A channel's notices go out in their order, one at a time whatever the number of replicas, and no channel waits for
another. Who takes a notice puts its `due_at` behind the time that sending may take: should the process die in between,
another one takes it then, and it is sent once more.
"""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Final

import asyncpg

from fluxline.postgres.pool import Database
from fluxline.runtime.logs import get_logger
from fluxline_collector.alerts.channels import DEADLINE_S, Channel, Delivery
from fluxline_collector.alerts.wording import Message
from fluxline_collector.metrics import AlertMetrics
from fluxline_collector.periodic import periodically

POLL_S: Final = 3.0
LEASE: Final = timedelta(seconds=3 * DEADLINE_S)
FIRST_PAUSE: Final = timedelta(seconds=10)
LONGEST_PAUSE: Final = timedelta(minutes=15)
GIVE_UP_AFTER: Final = timedelta(days=1)
_TAKE: Final = """
UPDATE alert_notices SET due_at = now() + $2::interval, attempts = attempts + 1
WHERE id = (
    SELECT id FROM alert_notices WHERE channel = $1 AND sent_at IS NULL AND failed_at IS NULL ORDER BY id LIMIT 1
) AND due_at <= now() AND written_at > now() - $3::interval
RETURNING id, severity, title, body, attempts
"""
_SENT: Final = "UPDATE alert_notices SET sent_at = now(), reason = NULL WHERE id = $1"
_FAILED: Final = "UPDATE alert_notices SET failed_at = now(), reason = $2 WHERE id = $1"
_AGAIN: Final = "UPDATE alert_notices SET due_at = now() + $3::interval, reason = $2 WHERE id = $1"
_GIVE_UP: Final = """
UPDATE alert_notices SET failed_at = now(), reason = coalesce(reason, 'its channel is not configured any more')
WHERE sent_at IS NULL AND failed_at IS NULL AND written_at <= now() - $1::interval
"""

log = get_logger(__name__)


class Outbox:
    """Sends what is due, for each channel on its own."""

    def __init__(
        self, database: Database, channels: Sequence[Channel], metrics: AlertMetrics, lease: timedelta = LEASE
    ) -> None:
        self._database = database
        self._channels = channels
        self._metrics = metrics
        self._lease = lease

    async def run(self) -> None:
        """Send for ever."""
        async with asyncio.TaskGroup() as lanes:
            lanes.create_task(periodically("alert-expiry", self.give_up, 60.0, 60.0))
            for channel in self._channels:
                work = partial(self.send_due, channel)
                lanes.create_task(periodically(f"alerts to {channel.name}", work, POLL_S, POLL_S))

    async def send_due(self, channel: Channel) -> int:
        """Send the channel's notices that are due, in their order; how many it took."""
        taken = 0
        while not channel.busy and (row := await self._take(channel)) is not None:
            message = Message(row["title"], row["body"])
            await self._settle(channel, row, await channel.send(message, row["severity"]))
            taken += 1
        return taken

    async def give_up(self) -> None:
        """Send no more what is a day old."""
        await self._database.pool.execute(_GIVE_UP, GIVE_UP_AFTER)

    async def _take(self, channel: Channel) -> asyncpg.Record | None:
        """The channel's oldest notice, if it is due. Of two that take it at once, one finds it taken."""
        return await self._database.pool.fetchrow(_TAKE, channel.key, self._lease, GIVE_UP_AFTER)

    async def _settle(self, channel: Channel, row: asyncpg.Record, delivery: Delivery) -> None:
        pool, outcome = self._database.pool, "sent" if delivery.ok else "failed" if delivery.final else "again"
        self._metrics.notices.labels(channel.schema, outcome).inc()
        if delivery.ok:
            await pool.execute(_SENT, row["id"])
            return
        log.warning("notice.not_sent", channel=channel.name, notice=row["id"], reason=delivery.reason, outcome=outcome)
        if delivery.final:
            await pool.execute(_FAILED, row["id"], delivery.reason)
        else:
            await pool.execute(_AGAIN, row["id"], delivery.reason, pause_after(row["attempts"]))


def pause_after(attempts: int) -> timedelta:
    """How long to wait after so many attempts: twice as long each time."""
    return min(LONGEST_PAUSE, FIRST_PAUSE * (1 << min(attempts - 1, 20)))
