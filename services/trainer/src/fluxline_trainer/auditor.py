"""Looks for trainings that were paid for twice, and stops them: the last line behind intent and reconciliation.

One whose destination is named as ours are, and that no job knows, is only told of: it may be another installation's, or
was begun after the backup that our database was restored from.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

from fluxline.postgres.pool import database_error
from fluxline.runtime.logs import get_logger
from fluxline_trainer.errors import ProviderError
from fluxline_trainer.jobs import Jobs, OwnRuns
from fluxline_trainer.provider import Provider, ProviderRun
from fluxline_trainer.submission import is_destination

LOOK_BACK = timedelta(hours=3)

log = get_logger(__name__)


class Auditor:
    """Cancels and reports running trainings with one of our destinations that are not their job's own.

    A run that is known to have ended is left alone: a list may lag behind.
    """

    def __init__(self, jobs: Jobs, provider: Provider, every: timedelta) -> None:
        self._jobs = jobs
        self._provider = provider
        self._every = every
        self._told: set[str] = set()

    async def run(self) -> None:
        """For ever; what cannot be reached is asked again next time."""
        while True:
            await asyncio.sleep(self._every.total_seconds())
            try:
                await self.audit()
            except ProviderError as error:
                log.warning("audit.waiting", reason=error.message)
            except Exception as error:
                if database_error(error) is None:
                    raise
                log.warning("audit.waiting", reason=type(error).__name__)

    async def audit(self) -> int:
        """One look over the recent trainings; returns how many were canceled."""
        running = [run async for run in self._recent() if not run.status.is_final]
        known = await self._jobs.runs_of([run.destination for run in running if run.destination])
        rogue = [run for run in running if _is_rogue(run, known.get(run.destination or ""))]
        for run in rogue:
            log.error("training.duplicate_canceled", provider_id=run.id, kept=known[run.destination or ""].provider_id)
            await self._provider.cancel(run.id)
        await self._tell_unknown(running)
        return len(rogue)

    async def _tell_unknown(self, running: list[ProviderRun]) -> None:
        """Once for each run, for as long as it is going."""
        ours = {run.id: run.destination for run in running if run.destination and is_destination(run.destination)}
        known = await self._jobs.known(list(ours.values()))
        unknown = {run_id: destination for run_id, destination in ours.items() if destination not in known}
        for run_id in unknown.keys() - self._told:
            log.warning("training.unknown_run", provider_id=run_id, destination=unknown[run_id])
        self._told = set(unknown)

    async def _recent(self) -> AsyncIterator[ProviderRun]:
        oldest = datetime.now(UTC) - LOOK_BACK
        async for run in self._provider.newest_first():
            if run.created_at is not None and run.created_at < oldest:
                return
            yield run


def _is_rogue(run: ProviderRun, own: OwnRuns | None) -> bool:
    """Whether a running run costs money for nobody; a job without a run of its own may be about to adopt it."""
    if own is None or run.id in own.ended_runs or run.id == own.provider_id:
        return False
    return own.canceled or own.provider_id is not None
