"""Four no-op steps by nats-py alone, the floor.  python steps_nats.py step N | send   (NATS_URL)"""

import asyncio
import os
import sys

import nats
from nats.errors import TimeoutError as NothingThere
from nats.js import JetStreamContext
from nats.js.api import ConsumerConfig

AT_ONCE = 64
BODY = b'{"padding": "' + b"x" * 1000 + b'"}'  # about the size of our events


async def connected() -> JetStreamContext:
    """A JetStream context with the stream of this bench."""
    client = await nats.connect(os.environ["NATS_URL"])
    jetstream = client.jetstream(publish_async_max_pending=AT_ONCE)
    await jetstream.add_stream(name="BENCH", subjects=["bench.*"])
    return jetstream


async def step(number: int) -> None:
    """Fetch, publish for the next step, acknowledge."""
    jetstream = await connected()
    consumer = ConsumerConfig(ack_wait=15)
    messages = await jetstream.pull_subscribe(f"bench.{number}", durable=f"step-{number}", config=consumer)

    async def handle(message: nats.aio.msg.Msg) -> None:
        headers = {"Nats-Msg-Id": f"{message.headers['job']}/{number + 1}", "job": message.headers["job"]}
        if number < 4:
            await jetstream.publish(f"bench.{number + 1}", BODY, headers=headers)
        else:
            print(message.headers["job"], flush=True)
        await message.ack()

    print("ready", flush=True)
    while True:
        try:
            batch = await messages.fetch(AT_ONCE, timeout=5)
        except NothingThere:
            continue
        await asyncio.gather(*map(handle, batch))


async def send() -> None:
    """Publish a first message for each id on standard input."""
    jetstream = await connected()
    print("ready", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        await jetstream.publish_async("bench.1", BODY, headers={"Nats-Msg-Id": line.strip(), "job": line.strip()})
    await jetstream.publish_async_completed()


asyncio.run(send() if sys.argv[1] == "send" else step(int(sys.argv[2])))
