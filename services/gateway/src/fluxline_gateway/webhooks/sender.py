"""The sender: takes the deliveries that are due, sends each of them, and writes down what came of it.

Any number may run. Between the claim and its end nothing is locked: HTTP happens outside of every transaction.
"""

import asyncio
import random
from collections import Counter as Tally
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from fluxline.postgres.pool import Database, database_error
from fluxline.runtime.logs import get_logger
from fluxline_gateway.webhooks import deliveries, endpoint_secrets
from fluxline_gateway.webhooks.deliveries import Claim
from fluxline_gateway.webhooks.post import Poster, signed_headers
from fluxline_gateway.webhooks.schedule import SCHEDULE_S, Attempt, Verdict, judge, waits_of

AT_A_TIME: Final = 16
PER_HOST: Final = 2
LEASE: Final = timedelta(seconds=60)
"""Longer than an attempt and its record take; after it another sender tries."""
SWEEP_S: Final = 1.0
MEASURE_S: Final = 5.0
_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15)

log = get_logger(__name__)


class SenderMetrics:
    """What Prometheus sees of webhooks."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.ended = Counter("fluxline_webhooks_ended", "Deliveries, by how they ended", ("status",), registry=registry)
        self.seconds = Histogram(
            "fluxline_webhook_attempt_seconds",
            "Duration of one attempt at a delivery, by what came of it",
            ("outcome",),
            buckets=_SECONDS,
            registry=registry,
        )
        self.oldest = Gauge("fluxline_webhooks_oldest_pending_seconds", "Age of the oldest", registry=registry)
        self.overdue = Gauge("fluxline_webhooks_overdue_seconds", "Since the first one is due", registry=registry)

    def count(self, attempt: Attempt, verdict: Verdict) -> None:
        """One attempt, and the delivery's end if it was that."""
        self.seconds.labels(attempt.outcome).observe(attempt.duration_ms / 1000)
        if verdict.status != "pending":
            self.ended.labels(verdict.status).inc()


class WebhookSender:
    """Sends what is due. `chance` gives the jitter of a wait, from -1 to 1."""

    def __init__(
        self,
        database: Database,
        registry: CollectorRegistry,
        poster: Poster,
        *,
        schedule_s: Sequence[float] = SCHEDULE_S,
        lease: timedelta = LEASE,
        chance: Callable[[], float] = lambda: random.uniform(-1, 1),  # noqa: S311  # spreads load, guards nothing
    ) -> None:
        self.database = database
        self.poster = poster
        self.schedule_s = schedule_s
        self.lease = lease
        self.chance = chance
        self.metrics = SenderMetrics(registry)
        self._sending: dict[asyncio.Task[None], str] = {}
        self._ended = asyncio.Event()

    async def run(self) -> None:
        """Send for ever; outages of the database are waited out."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._measure())
            while True:
                self._ended.clear()
                for claimed in await self._claim():
                    self._start(group, claimed)
                await self._wait()

    async def send_due(self) -> int:
        """Send what is due now, to the end; returns how many."""
        claims = await self._claim()
        await asyncio.gather(*(self._send(claimed) for claimed in claims))
        return len(claims)

    def _start(self, group: asyncio.TaskGroup, claimed: Claim) -> None:
        task = group.create_task(self._send(claimed))
        self._sending[task] = claimed.host
        task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[None]) -> None:
        del self._sending[task]
        self._ended.set()

    async def _wait(self) -> None:
        """Until one has been sent, so that the next may go, or it is time to look again."""
        try:
            async with asyncio.timeout(SWEEP_S):
                await self._ended.wait()
        except TimeoutError:
            return

    async def _claim(self) -> list[Claim]:
        free = AT_A_TIME - len(self._sending)
        if not free:
            return []
        busy = Tally(self._sending.values())
        try:
            return await deliveries.claim(self.database, free, per_host=PER_HOST, busy=busy, lease=self.lease)
        except Exception as error:
            _require_outage(error)
            return []

    async def _send(self, claimed: Claim) -> None:
        """One attempt; when the database cannot be told of it, the lease ends and it is sent again."""
        try:
            secrets = await endpoint_secrets.signing(self.database.pool, claimed.owner)
            headers = signed_headers(claimed.id, claimed.payload, secrets, datetime.now(UTC))
            attempt = await self.poster.post(claimed.url, claimed.payload.encode(), headers)
            verdict = judge(attempt, claimed.step, waits_of(claimed.type, self.schedule_s), self.chance())
            if await deliveries.settle(self.database, claimed, attempt, verdict):
                self.metrics.count(attempt, verdict)
                _tell(claimed, attempt, verdict)
        except Exception as error:
            _require_outage(error)

    async def _measure(self) -> None:
        while True:
            try:
                backlog = await deliveries.backlog(self.database.pool)
                self.metrics.oldest.set(backlog.age_s)
                self.metrics.overdue.set(backlog.overdue_s)
            except Exception as error:
                _require_outage(error)
            await asyncio.sleep(MEASURE_S)


def _tell(claimed: Claim, attempt: Attempt, verdict: Verdict) -> None:
    """Without the URL: its path or query may be a secret."""
    facts = {"type": claimed.type, "number": claimed.number, "outcome": attempt.outcome, "code": attempt.status_code}
    say = log.warning if verdict.status == "failed" else log.info
    say(f"webhook.{verdict.status}", delivery_id=str(claimed.id), **facts)


def _require_outage(error: Exception) -> None:
    if database_error(error) is None:
        raise error
    log.warning("webhooks.waiting", reason=type(error).__name__)
