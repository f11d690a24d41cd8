"""The claim on a run, in a real register: who may give it back, who may cancel, who may announce."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import pytest
from nats.js import JetStreamContext

from fluxline.contracts.catalog import OUTCOMES_BUCKET
from fluxline.contracts.events import TrainingSucceeded
from fluxline.contracts.outcomes import CANCELED, OPEN, PUBLISHED, is_publishing, is_undecided, outcome_key
from fluxline.runtime.bus import Bus
from fluxline.runtime.handlers import JobOver
from fluxline.runtime.register import Registers
from fluxline.runtime.telemetry import make_tracer_provider
from fluxline_publisher.claim import Claims
from fluxline_publisher.errors import PublishedElsewhere
from servers import NatsServer

from .conftest import succeeded


class Run:
    """One run's register, and what was undone."""

    def __init__(self, registers: Registers) -> None:
        self.registers = registers
        self.job: TrainingSucceeded = succeeded()
        self.key = outcome_key(self.job.training_id, 0)
        self.undone: list[UUID] = []
        self.claims = Claims(registers, self.undo, patience_s=0)

    async def undo(self, training_id: UUID) -> None:
        self.undone.append(training_id)

    async def stands(self) -> str | None:
        return await self.registers.get(self.key)

    async def cancel(self) -> bool:
        return await self.registers.swap(self.key, CANCELED, is_undecided) == CANCELED

    async def force(self, value: str) -> None:
        await self.registers.swap(self.key, value, lambda _now: True)


@pytest.fixture
async def run(nats: NatsServer, jetstream: JetStreamContext) -> AsyncIterator[Run]:
    bus = Bus("publisher", nats.url, make_tracer_provider("publisher", None))
    await bus.broker.connect()
    yield Run(Registers(bus, OUTCOMES_BUCKET))
    bus.stopping = True
    await bus.broker.stop()


async def test_a_claimed_run_cannot_be_canceled_and_ends_published(run: Run) -> None:
    async with run.claims.on(run.job) as claim:
        assert not await run.cancel()
        await claim.confirm()
        assert not await run.cancel()
        await claim.published()
    assert await run.stands() == PUBLISHED
    assert await run.claims.over(run.job)


async def test_an_error_gives_the_run_back(run: Run) -> None:
    with pytest.raises(ConnectionResetError):
        async with run.claims.on(run.job):
            raise ConnectionResetError
    assert await run.stands() == OPEN
    assert await run.cancel()


async def test_a_cut_off_attempt_keeps_the_claim_for_the_next_one(run: Run) -> None:
    with pytest.raises(asyncio.CancelledError):
        async with run.claims.on(run.job):
            raise asyncio.CancelledError
    assert not await run.cancel()
    async with run.claims.on(run.job) as claim:
        await claim.confirm()
        await claim.published()
    assert await run.stands() == PUBLISHED


@pytest.mark.parametrize("decided", [CANCELED, PUBLISHED])
async def test_a_decided_run_is_not_claimed(run: Run, decided: str) -> None:
    await run.force(decided)
    with pytest.raises(JobOver):
        async with run.claims.on(run.job):
            pytest.fail("the claim was given")
    assert await run.stands() == decided
    assert run.undone == []


async def test_what_may_be_announced_is_never_given_back_not_even_by_who_takes_it_over(run: Run) -> None:
    async def confirm_and_fail() -> None:
        async with run.claims.on(run.job) as claim:
            await claim.confirm()
            raise ConnectionResetError  # the stream may have stored the announcement

    with pytest.raises(ConnectionResetError):
        await confirm_and_fail()
    with pytest.raises(ValueError, match="the hub is away"):
        async with run.claims.on(run.job):
            raise ValueError("the hub is away")
    assert is_publishing(await run.stands())
    assert not await run.cancel()


async def test_a_claim_that_was_taken_over_announces_nothing_and_gives_nothing_back(run: Run) -> None:
    zombie = await run.claims.on(run.job).__aenter__()
    await run.claims.on(run.job).__aenter__()
    other = await run.stands()
    with pytest.raises(PublishedElsewhere) as raised:
        await zombie.confirm()
    await zombie.__aexit__(PublishedElsewhere, raised.value, None)
    assert await run.stands() == other


async def test_a_claim_that_the_other_gave_back_is_ours_again(run: Run) -> None:
    async with run.claims.on(run.job) as claim:
        with pytest.raises(ConnectionResetError):
            async with run.claims.on(run.job):
                raise ConnectionResetError
        await claim.confirm()
        assert not await run.cancel()


@pytest.mark.parametrize("fails", [False, True])
async def test_a_run_that_was_canceled_meanwhile_is_undone(run: Run, fails: bool) -> None:
    async def publish() -> None:
        async with run.claims.on(run.job) as claim:
            await run.force(OPEN)
            assert await run.cancel()
            if fails:
                raise ConnectionResetError
            await claim.confirm()

    with pytest.raises(JobOver):
        await publish()
    assert run.undone == [run.job.training_id]
    assert await run.stands() == CANCELED


async def test_each_run_has_a_claim_of_its_own(run: Run) -> None:
    await run.force(CANCELED)
    async with run.claims.on(run.job.model_copy(update={"run": 1})) as claim:
        await claim.confirm()
        await claim.published()
    assert await run.stands() == CANCELED
