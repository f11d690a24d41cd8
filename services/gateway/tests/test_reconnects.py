"""Two gateways, thousands of events, clients that break off anywhere: each sees every event once, in order.

`RECONNECT_EVENTS` says how many events (2,000); `RECONNECT_SEED` which random choices.
"""

import asyncio
import os
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, aclosing
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from nats.js import JetStreamContext

from fluxline.contracts.catalog import EVENTS_STREAM
from fluxline.contracts.event import Event
from fluxline.contracts.events import TrainingRequested
from fluxline.runtime.bus import publish_as_it_is
from fluxline.runtime.envelope import body_of, headers_of
from fluxline_gateway.identity.keys import Principal
from fluxline_gateway.live.event_stream import END, HEARTBEAT, live_stream
from fluxline_gateway.live.hub import LiveHub
from polling import poll_until
from servers import NatsServer
from streams import events_of

from .jobs import job_after, order_of, progressed
from .serving import Served, served_gateway

EVENTS = int(os.environ.get("RECONNECT_EVENTS", "2000"))
SEED = int(os.environ.get("RECONNECT_SEED", "11"))
CLIENTS = 4
AT_ONCE = 100
GONE = (httpx.TransportError,)
ADA = Principal("ada", None, frozenset())


class Gateways:
    """The gateways that live; clients choose one by chance each time they connect."""

    def __init__(self, nats_url: str, database_url: str, folder: Path) -> None:
        self._where = (nats_url, database_url, folder)
        self._stacks: dict[Served, AsyncExitStack] = {}

    async def start(self) -> Served:
        stack = AsyncExitStack()
        served = await stack.enter_async_context(served_gateway(*self._where))
        served.client.headers = self.any(random.Random(0)).client.headers if self._stacks else served.client.headers
        self._stacks[served] = stack
        return served

    def any(self, chance: random.Random) -> Served:
        return chance.choice(list(self._stacks))

    async def stop(self, served: Served) -> None:
        await self._stacks.pop(served).aclose()

    async def stop_all(self) -> None:
        for served in list(self._stacks):
            await self.stop(served)


@pytest.fixture
async def gateways(
    nats: NatsServer, jetstream: JetStreamContext, database_url: str, tmp_path: Path
) -> AsyncIterator[Gateways]:
    gateways = Gateways(nats.url, database_url, tmp_path)
    yield gateways
    await gateways.stop_all()


async def messages(client: httpx.AsyncClient, training_id: str, last: int | None) -> AsyncIterator[tuple[int, str]]:
    """Id and type of each message, read as an EventSource does: a message counts once its empty line is there."""
    headers = {} if last is None else {"Last-Event-ID": str(last)}
    async with client.stream("GET", f"/v1/trainings/{training_id}/events", headers=headers) as answer:
        answer.raise_for_status()
        rest = b""
        async for piece in answer.aiter_bytes():
            *complete, rest = (rest + piece).split(b"\n\n")
            for message in complete:
                lines = dict(line.partition(b": ")[::2] for line in message.split(b"\n"))
                if b"event" in lines:
                    yield int(lines.get(b"id", b"0")), lines[b"event"].decode()


class Follower:
    """A client that breaks off after a random number of messages, and comes back to a random gateway."""

    def __init__(self, gateways: Gateways, seed: int) -> None:
        self.gateways, self.chance = gateways, random.Random(seed)
        self.seen: list[int] = []
        self.connections = 0

    async def follow(self, training_id: str) -> None:
        while not await self._connect(training_id):
            await asyncio.sleep(0.01)

    async def _connect(self, training_id: str) -> bool:
        """Whether the stream has told its end."""
        self.connections += 1
        patience = self.chance.choice([0, 1, self.chance.randint(2, 50), self.chance.randint(50, 1500)])
        client = self.gateways.any(self.chance).client
        try:
            async with aclosing(messages(client, training_id, self.seen[-1] if self.seen else 0)) as stream:
                async for sequence, name in stream:
                    if name == "end":
                        return True
                    if name != "snapshot":
                        self.seen.append(sequence)
                    if patience == 0:
                        break
                    patience -= 1
        except GONE:
            pass  # its gateway was stopped
        return False


def parts(items: list[Event], size: int) -> Iterator[list[Event]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


async def publish(jetstream: JetStreamContext, events: list[Event]) -> None:
    for part in parts(events, AT_ONCE):
        await asyncio.gather(*(publish_one(jetstream, event) for event in part))


async def publish_one(jetstream: JetStreamContext, event: Event) -> None:
    headers = headers_of(event, "test")
    await publish_as_it_is(jetstream, event.subject, body_of(event), headers, EVENTS_STREAM.name)


async def sequences_of(jetstream: JetStreamContext) -> list[int]:
    """All of the stream, which has this one training's events only."""
    state = (await jetstream.stream_info(EVENTS_STREAM.name)).state
    assert state.messages == state.last_seq - state.first_seq + 1
    return list(range(state.first_seq, state.last_seq + 1))


async def new_training(served: Served, jetstream: JetStreamContext) -> TrainingRequested:
    answer = await served.client.post("/v1/trainings", json=await order_of(served.gateway.database))
    assert answer.status_code == 202, answer.text
    [event] = await poll_until(lambda: events_of(jetstream, TrainingRequested))
    return event


async def restart_in_turns(gateways: Gateways, chance: random.Random, until: asyncio.Event) -> None:
    while not until.is_set():
        await gateways.stop(gateways.any(chance))
        await gateways.start()


@pytest.mark.timeout(300)
async def test_clients_that_break_off_anywhere_see_each_event_once(
    gateways: Gateways, jetstream: JetStreamContext
) -> None:
    first = await gateways.start()
    await gateways.start()
    cause = await new_training(first, jetstream)
    followers = [Follower(gateways, SEED + number) for number in range(CLIENTS)]
    following = [asyncio.create_task(follower.follow(str(cause.training_id))) for follower in followers]
    published = asyncio.Event()
    restarting = asyncio.create_task(restart_in_turns(gateways, random.Random(SEED), published))
    await publish(jetstream, [progressed(cause, done, total=EVENTS) for done in range(1, EVENTS + 1)])
    for event in job_after(cause):
        await publish_one(jetstream, event)
    published.set()
    await asyncio.gather(restarting, *following)
    ids = await sequences_of(jetstream)
    assert len(ids) >= EVENTS + 11
    for follower in followers:
        assert follower.seen == ids
        assert follower.connections > 5


async def test_a_hub_that_is_behind_tells_an_ended_training_to_the_last_event(
    gateways: Gateways, jetstream: JetStreamContext
) -> None:
    first = await gateways.start()
    cause = await new_training(first, jetstream)
    for event in job_after(cause):
        await publish_one(jetstream, event)

    async def is_settled() -> bool:
        told = [name async for _, name in messages(first.client, str(cause.training_id), None)]
        return told == ["snapshot", "end"]

    await poll_until(is_settled)
    ids = await sequences_of(jetstream)
    behind = LiveHub(first.gateway.bus, linger_s=0.05)
    behind._next, behind._floor = ids[3] + 1, ids[3]
    behind._stream_created = (await jetstream.stream_info(EVENTS_STREAM.name)).created
    behind._reading.set()
    seen: list[bytes] = []

    async def follow() -> None:
        async for message in live_stream(replace(first.gateway, live=behind), ADA, cause.training_id, 0):
            seen.append(message)

    following = asyncio.create_task(follow())
    await poll_until(lambda: HEARTBEAT in seen)  # it waits, although the training has ended
    reading = asyncio.create_task(behind.run())
    await following
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    told = [int(message.split(b"\n")[0].removeprefix(b"id: ")) for message in seen[1:-1] if message != HEARTBEAT]
    assert told == ids
    assert seen[-1] == END
