"""Batches out of a pull consumer, on a real server."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace

import nats as nats_py
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext

from fluxline.contracts.catalog import COLLECTOR
from fluxline.runtime.envelope import received_from
from fluxline.runtime.provision import consumer_config
from fluxline.runtime.pulling import Puller, PullRefused
from polling import poll_until
from servers import NatsServer

BATCH = 10
CONSUMER = replace(COLLECTOR, ack_wait_s=1.0)


@pytest.fixture
async def client(nats: NatsServer, jetstream: JetStreamContext) -> AsyncIterator[Client]:
    await jetstream.add_consumer("EVENTS", config=consumer_config(CONSUMER))
    client = await nats_py.connect(nats.url, reconnect_time_wait=0.05, max_reconnect_attempts=-1)
    yield client
    await client.close()


@pytest.fixture
async def puller(client: Client) -> AsyncIterator[Puller]:
    async with Puller(client, "EVENTS", CONSUMER.durable, BATCH) as puller:
        yield puller


async def publish(jetstream: JetStreamContext, count: int) -> None:
    for number in range(count):
        await jetstream.publish("zip.created", b"%d" % number)


async def test_what_is_there_comes_in_full_batches_and_in_order(jetstream: JetStreamContext, puller: Puller) -> None:
    await publish(jetstream, 25)
    batches = [await puller.next() for _ in range(3)]
    assert [len(batch) for batch in batches] == [10, 10, 5]
    assert [int(message.data) for batch in batches for message in batch] == list(range(25))


async def test_a_message_is_handed_out_at_once_however_small_the_batch(
    jetstream: JetStreamContext, puller: Puller
) -> None:
    for number in range(3):
        waiting = asyncio.create_task(puller.next())
        await poll_until(lambda: puller._lingers)
        began = time.monotonic()
        await jetstream.publish("zip.created", b"%d" % number)
        [message] = await waiting
        assert (int(message.data), time.monotonic() - began < 1) == (number, True)
        await message.ack()


async def test_two_batches_at_most_are_taken_from_the_server(jetstream: JetStreamContext, puller: Puller) -> None:
    await publish(jetstream, 50)
    await puller.next()
    await poll_until(lambda: len(puller._arrived) == BATCH)
    info = await jetstream.consumer_info("EVENTS", CONSUMER.durable)
    assert (info.num_ack_pending, info.num_pending) == (20, 30)


async def test_what_was_not_handed_out_goes_back_at_once(jetstream: JetStreamContext, client: Client) -> None:
    patient = consumer_config(replace(CONSUMER, ack_wait_s=600.0))  # nothing comes back by waiting
    await jetstream.add_consumer("EVENTS", config=patient)
    await publish(jetstream, 15)
    async with Puller(client, "EVENTS", CONSUMER.durable, BATCH) as leaving:
        for message in await leaving.next():
            await message.ack()
        await poll_until(lambda: len(leaving._arrived) == 5)
    back: list[Msg] = []
    async with Puller(client, "EVENTS", CONSUMER.durable, BATCH) as coming:
        while len(back) < 5:
            back += await coming.next()
    assert sorted(int(message.data) for message in back) == list(range(10, 15))


async def test_a_server_that_restarts_is_asked_again(
    nats: NatsServer, client: Client, jetstream: JetStreamContext, puller: Puller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that stops well ends the request itself; the request to one that is killed is given up."""
    monkeypatch.setattr("fluxline.runtime.pulling._LOST_S", 0.5)
    for number, how in enumerate((nats.stop, nats.kill)):
        waiting = asyncio.create_task(_taken(puller))
        await poll_until(lambda: puller._lingers)
        await asyncio.to_thread(how)
        await asyncio.to_thread(nats.start)
        await poll_until(lambda: client.is_connected)
        await client.jetstream().publish("zip.created", b"%d" % number)
        messages = await waiting
        assert messages[-1].data == b"%d" % number  # one that is killed forgets acknowledgements
        await asyncio.gather(*(message.ack() for message in messages))


async def _taken(puller: Puller) -> list[Msg]:
    while True:
        with suppress(PullRefused):
            if messages := await puller.next():
                return messages


async def test_a_consumer_that_is_gone_is_an_error_until_it_is_back(
    jetstream: JetStreamContext, puller: Puller
) -> None:
    await jetstream.delete_consumer("EVENTS", CONSUMER.durable)
    with pytest.raises(PullRefused, match="503"):
        await puller.next()
    await jetstream.add_consumer("EVENTS", config=consumer_config(CONSUMER))
    await publish(jetstream, 1)
    assert [message.data for message in await puller.next()] == [b"0"]


async def test_a_message_with_a_header_named_status_is_a_message(jetstream: JetStreamContext, puller: Puller) -> None:
    await jetstream.publish("zip.created", b"x", headers={"Status": "404"})
    assert [message.data for message in await puller.next()] == [b"x"]


async def test_a_delivery_is_read_as_nats_py_reads_it(jetstream: JetStreamContext, puller: Puller) -> None:
    await publish(jetstream, 1)
    [message] = await puller.next()
    known, read = message.metadata, received_from(message)
    assert (read.sequence, read.attempt, read.stored_at) == (known.sequence.stream, 1, known.timestamp)
    message.reply = message.reply.replace("$JS.ACK.", "$JS.ACK.hub.account.") + ".random"
    longer = received_from(message)
    assert (longer.sequence, longer.stored_at) == (read.sequence, read.stored_at)
