"""The live part of the job page: the gateway's stream in, changed fragments of HTML out.

A stream says `fragment` (a part of the page), `end` (the training has), or `lost` (reconnecting is of no use: sign in,
or read why). One that just stops is opened again by the browser.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from typing import Any
from urllib.parse import quote
from uuid import UUID

from httpx_sse import EventSource

from fluxline.runtime.logs import get_logger
from fluxline_studio import texts
from fluxline_studio.deps import Studio
from fluxline_studio.gateway import STREAM_TIMEOUT, GatewayProblem
from fluxline_studio.job_view import Told, view

log = get_logger(__name__)

TARGETS = ("job-state", "job-error", "job-actions", "job-stages", "job-loss", "job-log", "job-feed", "job-estimate")
GATHER_S = 0.2
"""What happens within this time is drawn at once."""
TICK_S = 5.0
"""So often what runs is drawn with the time that it has taken by now."""
FINAL = (401, 403, 404)
"""Statuses that trying again does not change."""
END = "event: end\ndata: {}\n\n"
RETRY = "retry: 1000\n\n"


def lost(status: int, path: str) -> str:
    """The message that ends a stream for good: `text` to show and, to somebody signed out, `href` to go to."""
    told = {401: texts.job.signed_out, 403: texts.job.signed_out, 404: texts.job.gone}.get(status, texts.job.broken)
    href = f"/sign-in?next={quote(path, safe='')}" if status in (401, 403) else None
    return f"event: lost\ndata: {json.dumps({'text': told, 'href': href})}\n\n"


class Page:
    """One open page: what it knows, and what it was sent."""

    def __init__(self, studio: Studio, key: str, training_id: UUID, told: Told) -> None:
        self.path = f"/trainings/{training_id}"
        self.ending = False
        self._studio, self._key, self._told = studio, key, told
        self._training: dict[str, Any] = {}
        self._stale = True
        self._shown: dict[str, str] = {}

    async def follow(self, news: asyncio.Event) -> None:
        """Take in the gateway's stream until it ends; raises GatewayProblem."""
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(self._told.last_id)}
        url = f"/v1{self.path}/events"
        try:
            async with self._studio.gateway.stream(
                "GET", url, self._key, headers=headers, timeout=STREAM_TIMEOUT
            ) as answer:
                async for event in EventSource(answer).aiter_sse():
                    if event.event == "end":
                        self.ending = True
                        return
                    if event.event != "snapshot":
                        self._told.add(json.loads(event.data))
                    self._stale = True
                    news.set()
        finally:
            self._stale = True
            news.set()

    async def changed(self) -> list[str]:
        """The parts that look different now; the training is asked for when something has happened to it."""
        if self._stale:
            self._stale = False  # before asking: what happens meanwhile is asked for next time
            self._training = await self._studio.gateway.get(f"/v1{self.path}", self._key)
        template = self._studio.templates.get_template("job/parts.html")
        parts = template.make_module(view(self._training, self._told))
        messages = []
        for target in TARGETS:
            html = str(getattr(parts, target.replace("-", "_"))())
            if self._shown.get(target) != html:
                self._shown[target] = html
                messages.append(f"event: fragment\ndata: {json.dumps({'target': target, 'html': html})}\n\n")
        return messages


async def fragments(studio: Studio, key: str, training_id: UUID, told: Told) -> AsyncGenerator[str, None]:
    """Server-sent events of one page."""
    page = Page(studio, key, training_id, told)
    with studio.streams.opened() as news:
        following = asyncio.create_task(page.follow(news))
        try:
            yield RETRY
            async for message in _told(studio, page, news, following):
                yield message
        except GatewayProblem as problem:
            if problem.status in FINAL:
                yield lost(problem.status, page.path)
        except Exception as error:
            log.exception("live.failed", path=page.path, error=type(error).__name__)
            yield lost(500, page.path)
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)


async def _told(studio: Studio, page: Page, news: asyncio.Event, following: asyncio.Task[None]) -> AsyncIterator[str]:
    while not studio.streams.stopping:
        with suppress(TimeoutError):
            await asyncio.wait_for(news.wait(), TICK_S)
        news.clear()
        over = following.done()
        for message in await page.changed() or [": still here\n\n"]:
            yield message
        if over:
            following.result()  # raises what has ended it
            if page.ending:
                yield END
            return
        await asyncio.sleep(GATHER_S)
