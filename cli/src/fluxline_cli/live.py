"""The live events of a training (server-sent events), over any number of broken connections."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
from httpx_sse import SSEError, aconnect_sse

from fluxline_cli.client import TERMINAL, Client
from fluxline_cli.errors import problem_of

SILENCE_S = 45.0
"""Three missed heartbeats: the connection is dead."""
RECONNECT_S = 0.5


@dataclass(frozen=True)
class LiveEvent:
    """`type` is `snapshot` (data: the training as it stands) or an event's (data: the event)."""

    type: str
    data: dict[str, Any]


async def follow(client: Client, training_id: str, *, after: str = "") -> AsyncIterator[LiveEvent]:
    """A snapshot and then every event, each once, until the training has ended."""
    last = after
    while True:
        try:
            async for name, event_id, data in _stream(client, training_id, last):
                if name != "snapshot" or not last:
                    last = event_id or last  # a snapshot of a reconnection comes before what was missed
                if name != "end":
                    yield LiveEvent(name, data)
        except (httpx.TransportError, SSEError):
            pass
        if (await client.training(training_id))["status"] in TERMINAL and not await _more(client, training_id, last):
            return
        await asyncio.sleep(RECONNECT_S)


async def _stream(client: Client, training_id: str, last: str) -> AsyncIterator[tuple[str, str, dict[str, Any]]]:
    headers = {"Last-Event-ID": last} if last else {}
    timeout = httpx.Timeout(SILENCE_S, connect=5)
    path = f"/v1/trainings/{training_id}/events"
    async with aconnect_sse(client.http, "GET", path, headers=headers, timeout=timeout) as source:
        if source.response.is_error:
            await source.response.aread()
            raise problem_of(source.response)
        async for event in source.aiter_sse():
            if event.data:  # a heartbeat after an event comes as one without: httpx-sse remembers the id
                yield event.event, event.id, json.loads(event.data)


async def history(client: Client, training_id: str) -> AsyncIterator[dict[str, Any]]:
    """Every event so far, in order."""
    after: int | None = 0
    while after is not None:
        page = await _page(client, training_id, after)
        for item in page["items"]:
            yield item
        after = page["next_cursor"]


async def _more(client: Client, training_id: str, last: str) -> bool:
    return bool((await _page(client, training_id, int(last or 0)))["items"])


async def _page(client: Client, training_id: str, after: int) -> dict[str, Any]:
    path, headers = f"/v1/trainings/{training_id}/events", {"Accept": "application/json"}
    page: dict[str, Any] = (await client.request("GET", path, params={"after": after}, headers=headers)).json()
    return page
