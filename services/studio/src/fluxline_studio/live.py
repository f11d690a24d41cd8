"""The live part of the job page: the gateway's stream in, changed fragments of HTML out."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from uuid import UUID

from httpx_sse import EventSource

from fluxline_studio.deps import Studio
from fluxline_studio.gateway import STREAM_TIMEOUT, GatewayProblem
from fluxline_studio.job_view import Told, view

TARGETS = ("job-state", "job-error", "job-actions", "job-stages", "job-loss", "job-log", "job-feed", "job-estimate")
GATHER_S = 0.2
"""What happens within this time is drawn at once."""
SILENCE_S = 15.0


async def fragments(studio: Studio, key: str, training_id: UUID, told: Told) -> AsyncIterator[str]:
    """Server-sent events: `fragment` for each changed part, `end` once nothing more comes."""
    news, ending = asyncio.Event(), asyncio.Event()
    news.set()
    following = asyncio.create_task(_follow(studio, key, training_id, told, news, ending))
    shown: dict[str, str] = {}
    try:
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(news.wait(), SILENCE_S)
            if not news.is_set():
                yield ": still here\n\n"
                continue
            news.clear()
            for message in await _changed(studio, key, training_id, told, shown):
                yield message
            if ending.is_set():
                yield "event: end\ndata: {}\n\n"
                return
            if following.done():
                return
            await asyncio.sleep(GATHER_S)
    except GatewayProblem:
        return  # the browser reconnects
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


async def _follow(
    studio: Studio, key: str, training_id: UUID, told: Told, news: asyncio.Event, ending: asyncio.Event
) -> None:
    headers = {"Accept": "text/event-stream", "Last-Event-ID": str(told.last_id)}
    path = f"/v1/trainings/{training_id}/events"
    try:
        async with studio.gateway.stream("GET", path, key, headers=headers, timeout=STREAM_TIMEOUT) as answer:
            async for event in EventSource(answer).aiter_sse():
                if event.event == "end":
                    ending.set()
                    return
                if event.event != "snapshot":
                    told.add(json.loads(event.data))
                news.set()
    finally:
        news.set()


async def _changed(studio: Studio, key: str, training_id: UUID, told: Told, shown: dict[str, str]) -> list[str]:
    training = await studio.gateway.get(f"/v1/trainings/{training_id}", key)
    module = studio.templates.get_template("job/parts.html").make_module(view(training, told))
    messages = []
    for target in TARGETS:
        html = str(getattr(module, target.replace("-", "_"))())
        if shown.get(target) != html:
            shown[target] = html
            messages.append(f"event: fragment\ndata: {json.dumps({'target': target, 'html': html})}\n\n")
    return messages
