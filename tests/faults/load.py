"""Events that are published without pause, and what came of them: which were acknowledged, and which can be read."""

import asyncio
from types import TracebackType
from typing import Self

import nats
from nats.js.api import DiscardPolicy, StorageType, StreamConfig

from polling import poll_until

STREAM = "LOAD"
LANES = 8
READ_AT_ONCE = 200


class Load:
    """A stream of its own at `servers`, filled inside the block by eight lanes; leaving it stops them."""

    def __init__(self, servers: list[str], *, replicas: int = 1) -> None:
        self._servers, self._replicas = servers, replicas
        self._stopping = asyncio.Event()
        self.acknowledged: list[str] = []

    async def __aenter__(self) -> Self:
        self._client = await nats.connect(self._servers, max_reconnect_attempts=-1, reconnect_time_wait=0.1)
        self._jetstream = self._client.jetstream(timeout=2)
        await self._jetstream.add_stream(
            StreamConfig(
                STREAM,
                subjects=["load.>"],
                storage=StorageType.FILE,
                discard=DiscardPolicy.NEW,
                num_replicas=self._replicas,
            )
        )
        self._lanes = [asyncio.create_task(self._publish(lane)) for lane in range(LANES)]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        await asyncio.gather(*self._lanes)
        await self._client.close()

    async def until_more(self, count: int) -> None:
        """Wait until that many more were acknowledged."""
        have = len(self.acknowledged)
        await poll_until(lambda: len(self.acknowledged) > have + count, timeout_s=30)

    async def read(self) -> list[str]:
        """The bodies of all that is in the stream, by a connection that has seen no outage; it is gone then."""
        client = await nats.connect(self._servers)
        try:
            jetstream = client.jetstream(timeout=10)
            state = (await jetstream.stream_info(STREAM)).state
            found: list[str] = []
            for first in range(max(1, state.first_seq), state.last_seq + 1, READ_AT_ONCE):
                sequences = range(first, min(first + READ_AT_ONCE, state.last_seq + 1))
                messages = await asyncio.gather(*(jetstream.get_msg(STREAM, sequence) for sequence in sequences))
                found += ((message.data or b"").decode() for message in messages)
            await jetstream.delete_stream(STREAM)
            return found
        finally:
            await client.close()

    async def _publish(self, lane: int) -> None:
        number = 0
        while not self._stopping.is_set():
            name = f"{lane}-{number}"
            try:
                await self._jetstream.publish("load.event", name.encode(), headers={"Nats-Msg-Id": name})
            except (nats.errors.Error, nats.js.errors.Error, OSError):
                await asyncio.sleep(0.02)  # the same one again: whether it was stored is not known
                continue
            self.acknowledged.append(name)
            number += 1
