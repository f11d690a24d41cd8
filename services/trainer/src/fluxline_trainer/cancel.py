"""Who decides that a run is canceled: its register, in which the publisher competes.

A request is kept in PostgreSQL until the register has decided. Publishing may take half an hour, and a message
that is delivered again and again would run out of deliveries; a row does not, and blocks nobody.
"""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import timedelta
from typing import Protocol
from uuid import UUID

from fluxline.contracts.events import TrainingCancelRequested
from fluxline.contracts.outcomes import CANCELED, PUBLISHED, is_publishing, is_undecided, outcome_key
from fluxline.postgres.pool import database_error
from fluxline.runtime.cancelation import raise_if_canceled
from fluxline.runtime.errors import BrokerUnavailable
from fluxline.runtime.logs import get_logger
from fluxline.runtime.register import Condition
from fluxline_trainer.intake import Cancelation, Intake

log = get_logger(__name__)


class Register(Protocol):
    """Values changed by compare-and-set."""

    async def swap(self, key: str, value: str, when: Condition) -> str | None:
        """Write `value` if `when` holds for what stands there; returns what stands there afterwards."""
        ...


class Canceler:
    """Decides the requests to cancel. Any number may run: each step may be repeated."""

    def __init__(
        self, intake: Intake, register: Register, start: Callable[[Iterable[UUID]], None], every: timedelta
    ) -> None:
        self._intake = intake
        self._register = register
        self._start = start
        self._every_s = every.total_seconds()
        self._news = asyncio.Event()

    async def request(self, event: TrainingCancelRequested, trace: dict[str, str]) -> None:
        """Take a request on; it is decided soon, or as soon as nobody is publishing."""
        await self._intake.note_cancel(event, trace)
        self._news.set()

    async def concede(self, training_id: UUID, run: int) -> None:
        """The run is published, as everybody was told: nobody can cancel it any more."""
        key = outcome_key(training_id, run)
        await self._register.swap(key, PUBLISHED, lambda now: is_publishing(now) or is_undecided(now))

    async def run(self) -> None:
        """For ever: decide what can be decided; outages are waited out."""
        while True:
            raise_if_canceled()
            self._news.clear()
            try:
                await self.decide_all()
            except Exception as error:
                if not isinstance(error, BrokerUnavailable) and database_error(error) is None:
                    raise
                log.warning("cancel.waiting", reason=type(error).__name__)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._every_s):
                    await self._news.wait()

    async def decide_all(self) -> None:
        """One try for each request that is open."""
        for cancelation in await self._intake.undecided():
            await self._decide(cancelation)

    async def _decide(self, cancelation: Cancelation) -> None:
        """Canceled when we win the register; too late when it is published; later while somebody is publishing."""
        event = cancelation.event
        value = await self._register.swap(outcome_key(event.training_id, event.run), CANCELED, is_undecided)
        if is_publishing(value):
            return
        log.info("cancel.decided", training_id=str(event.training_id), run=event.run, reason=event.reason, by=value)
        if await self._intake.decide(cancelation, canceled=value == CANCELED):
            self._start([event.training_id])
