"""One winner per register, on a real server."""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from nats.js import JetStreamContext

from fluxline.contracts.catalog import OUTCOMES_BUCKET
from fluxline.contracts.outcomes import CANCELED, OPEN, PUBLISHED, is_publishing, is_undecided, outcome_key, publishing
from fluxline.runtime.bus import Bus
from fluxline.runtime.errors import BrokerUnavailable
from fluxline.runtime.register import Registers
from fluxline.runtime.telemetry import make_tracer_provider
from servers import NatsServer


@pytest.fixture
async def registers(nats: NatsServer, jetstream: JetStreamContext) -> AsyncIterator[Registers]:
    bus = Bus("test", nats.url, make_tracer_provider("test", None))
    await bus.broker.start()
    yield Registers(bus, OUTCOMES_BUCKET)
    bus.stopping = True
    await bus.broker.stop()


async def test_of_many_at_once_one_wins_and_all_see_the_same_winner(registers: Registers) -> None:
    key = outcome_key(uuid4(), 0)
    wanted = [CANCELED if number % 2 else publishing(str(number)) for number in range(40)]
    seen = await asyncio.gather(*(registers.swap(key, value, is_undecided) for value in wanted))
    assert len(set(seen)) == 1
    assert await registers.get(key) == seen[0]


async def test_a_claim_that_is_given_back_can_be_canceled_and_a_kept_one_cannot(registers: Registers) -> None:
    given_back, kept = outcome_key(uuid4(), 0), outcome_key(uuid4(), 3)
    for key in (given_back, kept):
        assert await registers.swap(key, publishing("a"), is_undecided) == publishing("a")
    await registers.swap(given_back, OPEN, is_publishing)
    await registers.swap(kept, PUBLISHED, is_publishing)
    assert await registers.swap(given_back, CANCELED, is_undecided) == CANCELED
    assert await registers.swap(kept, CANCELED, is_undecided) == PUBLISHED


async def test_a_run_has_a_register_of_its_own(registers: Registers) -> None:
    training_id = uuid4()
    await registers.swap(outcome_key(training_id, 0), CANCELED, is_undecided)
    assert await registers.get(outcome_key(training_id, 1)) is None


async def test_a_lost_bucket_is_an_outage_not_a_crash(registers: Registers, jetstream: JetStreamContext) -> None:
    await jetstream.delete_stream(f"KV_{OUTCOMES_BUCKET}")
    with pytest.raises(BrokerUnavailable, match="register"):
        await registers.get("x.0")
