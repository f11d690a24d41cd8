"""What wakes jobs up: timers and webhooks from the stream, the sweep as the backstop, each job in its own task.

A message is a hint and is acknowledged at once; what is due stands in PostgreSQL. So a long download delays
nobody else's look, and a process that dies loses nothing but time.
"""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Iterable
from datetime import timedelta
from uuid import UUID

from fluxline.postgres.pool import database_error
from fluxline.runtime.envelope import Received
from fluxline.runtime.logs import get_logger
from fluxline.runtime.spans import completed
from fluxline.runtime.telemetry import continued_trace
from fluxline.runtime.trace_context import extracted
from fluxline_trainer.jobs import Jobs

DRAIN_S = 10.0
PROVIDER_KEY = re.compile(r"replicate:([A-Za-z0-9_-]{1,64})")

log = get_logger(__name__)


class Workers:
    """Advances jobs in the background, each at most once at a time, `limit` at once."""

    def __init__(self, jobs: Jobs, advance: Callable[[UUID], Awaitable[None]], *, limit: int) -> None:
        self._jobs = jobs
        self._advance = advance
        self._slots = asyncio.Semaphore(limit)
        self._running: dict[UUID, asyncio.Task[None]] = {}
        self._again: set[UUID] = set()
        self._closing = False

    def start(self, training_ids: Iterable[UUID]) -> None:
        """Advance these soon; one that is being advanced is advanced once more after that."""
        for training_id in training_ids:
            if self._closing:
                return
            if training_id in self._running:
                self._again.add(training_id)
                continue
            task = asyncio.create_task(self._run(training_id))
            self._running[training_id] = task
            task.add_done_callback(lambda _, done=training_id: self._ended(done))  # type: ignore[misc]

    @property
    def busy(self) -> int:
        """How many jobs are being advanced or wait for their turn."""
        return len(self._running)

    async def on_timers(self, messages: list[Received]) -> None:
        """Bodies are a training id, or `replicate:<id>` from a verified webhook; anything else is dropped."""
        found = await asyncio.gather(*(self._training_id(message.body) for message in messages))
        for message, training_id in zip(messages, found, strict=True):
            if training_id and PROVIDER_KEY.fullmatch(message.body[:200].decode(errors="replace")):
                await self._tell_of_webhook(training_id, message)
        self.start(training_id for training_id in found if training_id)

    async def _tell_of_webhook(self, training_id: UUID, message: Received) -> None:
        """In the job's trace, a span that leads to the webhook's own."""
        job = await self._jobs.find(training_id)
        with continued_trace(job.trace if job else {}):
            facts = {"fluxline.training_id": str(training_id), "messaging.destination.name": message.subject}
            completed("replicate webhook", time.time_ns(), facts, links=[extracted(message.headers)])

    async def sweep(self, every: timedelta) -> None:
        """For ever: at once what an ended process left, then what is late by more than `every`."""
        late: timedelta | None = None
        while True:
            try:
                self.start(await (self._jobs.interrupted() if late is None else self._jobs.overdue(late)))
                late = every
            except Exception as error:
                if database_error(error) is None:
                    raise
                log.warning("sweep.waiting", reason=type(error).__name__)
            await asyncio.sleep(every.total_seconds())

    async def close(self) -> None:
        """Let running steps end, and stop the rest: every step may be cut anywhere."""
        self._closing = True
        tasks = list(self._running.values())
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=DRAIN_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _ended(self, training_id: UUID) -> None:
        self._running.pop(training_id, None)
        if training_id in self._again:
            self._again.discard(training_id)
            self.start([training_id])

    async def _run(self, training_id: UUID) -> None:
        async with self._slots:
            try:
                await self._advance(training_id)
            except Exception as error:
                unavailable = database_error(error)
                log.warning("job.left_to_sweep", training_id=str(training_id), exc_info=unavailable is None)

    async def _training_id(self, body: bytes) -> UUID | None:
        text = body[:200].decode(errors="replace")
        if webhook := PROVIDER_KEY.fullmatch(text):
            return await self._jobs.of_provider_id(webhook[1])
        try:
            return UUID(text)
        except ValueError:
            log.warning("timer.unreadable", body=ascii(text))
            return None
