"""The right to publish one run of a training, in the register that a cancelation competes for (`outcomes`).

It is claimed before anything is created, confirmed before the model is announced, and from then on never given back:
the announcement may be on the stream although its confirmation was lost. Whoever takes such a claim over inherits that.
"""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from types import TracebackType
from typing import Final, Self
from uuid import UUID, uuid4

from fluxline.contracts.job import JobEvent
from fluxline.contracts.outcomes import (
    CANCELED,
    OPEN,
    PUBLISHED,
    is_over,
    is_publishing,
    is_undecided,
    outcome_key,
    publishing,
)
from fluxline.runtime.handlers import JobOver
from fluxline.runtime.register import Registers
from fluxline_publisher.errors import PublishedElsewhere

PATIENCE_S: Final = 120.0
_POLL_S: Final = 0.25
_ANNOUNCING: Final = "announcing-"

Undo = Callable[[UUID], Awaitable[None]]
"""Removes whatever was created for a training."""


class Claims:
    """Makes the claims on runs; `undo` is called for a training that turns out to be canceled."""

    def __init__(self, registers: Registers, undo: Undo, *, patience_s: float = PATIENCE_S) -> None:
        self.registers = registers
        self.undo = undo
        self.patience_s = patience_s

    def on(self, job: JobEvent) -> "RunClaim":
        """A claim of this attempt's own, not taken yet."""
        return RunClaim(self, job.training_id, job.run)

    async def over(self, job: JobEvent) -> JobOver | None:
        """Whether the run is canceled, or was published and announced."""
        return _over(await self.registers.get(outcome_key(job.training_id, job.run)))


class RunClaim:
    """See Claim of the publisher. When the attempt is cut off the claim stays taken: its work may go on in a thread.

    The next attempt takes over whatever claim it finds.
    """

    def __init__(self, claims: Claims, training_id: UUID, run: int) -> None:
        self._claims = claims
        self._registers = claims.registers
        self._training_id = training_id
        self._key = outcome_key(training_id, run)
        self._token = uuid4().hex
        self._announcing = False

    async def __aenter__(self) -> Self:
        """Take the claim, also from an attempt that had it before; raises JobOver once the run is decided."""
        while True:
            standing = await self._registers.get(self._key)
            if over := _over(standing):
                raise over
            self._announcing = _is_announcing(standing)
            if await self._swap(self._mine, standing) == self._mine:
                return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if isinstance(error, Exception) and await self._give_back() == CANCELED:
            await self._claims.undo(self._training_id)
            raise JobOver from error

    async def confirm(self) -> None:
        """Return while the claim is still ours (or free again) and the model may be announced.

        While somebody else has it, wait for their end: leaving the message would settle it under their hands. Raises
        JobOver once they decided the run, PublishedElsewhere when they take too long.
        """
        held, announcing = self._mine, publishing(_ANNOUNCING + self._token)
        deadline = monotonic() + self._claims.patience_s
        while (standing := await self._swap(announcing, held, OPEN, None)) != announcing:
            if is_over(standing):  # by who took the claim over, and tells the end; or of a model announced before us
                raise JobOver(done=self._announcing and standing == PUBLISHED)
            if monotonic() >= deadline:
                raise PublishedElsewhere
            await asyncio.sleep(_POLL_S)
        self._announcing = True

    async def require_open(self) -> None:
        """Return unless the run is decided; raises JobOver."""
        if over := _over(await self._registers.get(self._key)):
            raise over

    async def published(self) -> None:
        """The stream has confirmed the announcement: nobody can cancel the run any more."""
        await self._registers.swap(self._key, PUBLISHED, lambda now: is_publishing(now) or is_undecided(now))

    async def _give_back(self) -> str | None:
        """Open the run again unless it may have been announced; returns what stands in the register."""
        if self._announcing:
            return None
        return await self._swap(OPEN, self._mine)

    async def _swap(self, value: str, *expected: str | None) -> str | None:
        return await self._registers.swap(self._key, value, lambda now: now in expected)

    @property
    def _mine(self) -> str:
        return publishing(_ANNOUNCING + self._token if self._announcing else self._token)


def _over(standing: str | None) -> JobOver | None:
    return JobOver(done=standing == PUBLISHED) if is_over(standing) else None


def _is_announcing(standing: str | None) -> bool:
    return standing is not None and standing.startswith(publishing(_ANNOUNCING))
