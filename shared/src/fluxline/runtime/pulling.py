"""Messages of a durable pull consumer in batches, faster than nats-py's own `fetch`, which waits for each by itself.

A request first asks for what is there (`no_wait`, which the server answers at once, ending with a status when it has
less), then for what is to come. The next batch is asked for before the last one is handed out: it arrives while that
one is handled. So at most two batches are in memory. Protocol: NATS architecture record ADR-13.
"""

import asyncio
import json
from contextlib import suppress
from typing import Final, Self

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js.api import Header

EXPIRES_S: Final = 5.0
_LOST_S: Final = EXPIRES_S + 2
"""A request that has not ended by then was lost with its connection."""
_NOTHING_LEFT: Final = ("404", "408")


class PullRefused(nats.errors.Error):
    """The server ended a request for another reason than that it has no message."""


class Puller:
    """Up to `batch` messages at a time; an async context manager."""

    def __init__(self, client: Client, stream: str, durable: str, batch: int) -> None:
        self._client = client
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{durable}"
        self._batch = batch
        self._subscription: Subscription | None = None
        self._inbox = client.new_inbox()
        self._arrived: list[Msg] = []
        self._open = 0
        self._lingers = self._drained = False
        self._refusal: str | None = None
        self._news = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._subscription = await self._client.subscribe(self._inbox, cb=self._on_message)
        return self

    async def __aexit__(self, *_exc: object) -> None:
        """What was not handed out goes back; draining the connection must not wait for this subscription."""
        if self._subscription:
            with suppress(nats.errors.Error):
                await self._subscription.unsubscribe()
        for message in self._arrived:
            with suppress(nats.errors.Error):
                await message.nak()

    async def next(self) -> list[Msg]:
        """What has arrived, as soon as there is something; empty after some seconds without.

        Raises `PullRefused`, and nats-py's errors when the connection is closed.
        """
        while not (self._arrived and (self._lingers or not self._open)):
            if not self._open:
                await self._ask()
            self._news.clear()
            try:
                async with asyncio.timeout(_LOST_S):
                    await self._news.wait()
            except TimeoutError:
                self._open = 0
            if self._refusal and not self._arrived:
                refusal, self._refusal = self._refusal, None
                raise PullRefused(refusal)
            if not self._open and not self._arrived and self._lingers:
                return []
        batch, self._arrived = self._arrived, []
        if not self._open:
            await self._ask()
        return batch

    async def _ask(self) -> None:
        self._lingers, self._open, self._refusal = self._drained, self._batch, None
        how = {"expires": int(EXPIRES_S * 1e9)} if self._lingers else {"no_wait": True}
        await self._client.publish(self._subject, json.dumps({"batch": self._batch, **how}).encode(), self._inbox)

    async def _on_message(self, message: Msg) -> None:
        if message.reply:  # a message of the stream, which says where to acknowledge it
            self._arrived.append(message)
            self._open, self._drained = max(0, self._open - 1), False
        else:
            headers = message.headers or {}
            status = headers.get(Header.STATUS, "")
            self._open, self._drained = 0, status in _NOTHING_LEFT
            if not self._drained:
                self._refusal = f"{status} {headers.get(Header.DESCRIPTION, '')}".strip()
        if self._lingers or not self._open:
            self._news.set()
