"""`/v1/trainings/{id}/events`: what happened, live as server-sent events or as a list."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import Response, StreamingResponse
from pydantic import BaseModel

from fluxline_gateway.deps import Deps, Gateway, Owner
from fluxline_gateway.history import EventOut, event_of_row, sse
from fluxline_gateway.live import Subscriber
from fluxline_gateway.state import TERMINAL, TrainingState
from fluxline_gateway.training_views import training_out
from fluxline_gateway.trainings import find_training

router = APIRouter(prefix="/v1/trainings/{training_id}/events", tags=["trainings"])

HEARTBEAT_S = 15.0
LINGER_S = 1.0
"""How long after its last word a stream stays open for the stage events that follow it."""
REPLAY = 1_000
ENDS = frozenset({"model.published", "training.failed", "training.canceled"})
MAX_SEQUENCE = 2**63 - 1
_HISTORY = "SELECT * FROM training_events WHERE training_id = $1 AND sequence > $2 ORDER BY sequence LIMIT $3"
Sequence = Annotated[int, Query(ge=0, le=MAX_SEQUENCE)]


class EventPage(BaseModel):
    """Events in the order of the stream; `next_cursor` goes into `after` of the next call."""

    items: list[EventOut]
    next_cursor: int | None = None


@router.get(
    "",
    operation_id="list_training_events",
    response_model=EventPage,
    responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
)
async def training_events(
    request: Request,
    training_id: UUID,
    gateway: Deps,
    owner: Owner,
    after: Sequence = 0,
    limit: Annotated[int, Query(ge=1, le=REPLAY)] = 200,
    last_event_id: Annotated[str | None, Header(max_length=20)] = None,
) -> Response:
    """History for `Accept: application/json`; otherwise a stream: a snapshot first, then every event.

    `Last-Event-ID` (or `after`) replays what was missed. The stream ends with the event `end` when the training has.
    """
    await find_training(gateway, owner.owner, training_id)
    if "application/json" in request.headers.get("accept", ""):
        page = await _history(gateway, training_id, after, limit)
        return Response(page.model_dump_json(), media_type="application/json")
    start = int(last_event_id) if last_event_id and last_event_id.isdecimal() else after
    stream = _stream(gateway, owner.owner, training_id, start or None)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(stream, media_type="text/event-stream", headers=headers)


async def _history(gateway: Gateway, training_id: UUID, after: int, limit: int) -> EventPage:
    rows = await gateway.database.pool.fetch(_HISTORY, training_id, min(after, MAX_SEQUENCE), limit)
    items = [event_of_row(row) for row in rows]
    return EventPage(items=items, next_cursor=items[-1].id if len(items) == limit else None)


async def _stream(gateway: Gateway, owner: str, training_id: UUID, after: int | None) -> AsyncIterator[bytes]:
    """Snapshot, what was missed, then live. Subscribed before the snapshot is read, so nothing falls between."""
    with gateway.live.subscribe(training_id) as subscriber:
        row = await find_training(gateway, owner, training_id)
        state = TrainingState.model_validate_json(row["state"])
        yield sse(state.sequence, "snapshot", training_out(row).model_dump_json())
        sent = state.sequence
        if after is not None and after < sent:
            async for message in _missed(gateway, training_id, after, sent):
                yield message
        async for message in _live(subscriber, sent, ended=state.status in TERMINAL):
            yield message
        yield sse(None, "end", "{}")


async def _missed(gateway: Gateway, training_id: UUID, after: int, until: int) -> AsyncIterator[bytes]:
    cursor: int | None = after
    while cursor is not None:
        page = await _history(gateway, training_id, cursor, REPLAY)
        for item in page.items:
            if item.id <= until:
                yield sse(item.id, item.type, item.model_dump_json())
        cursor = page.next_cursor


async def _live(subscriber: Subscriber, sent: int, *, ended: bool) -> AsyncIterator[bytes]:
    while not subscriber.lagging:
        try:
            async with asyncio.timeout(LINGER_S if ended else HEARTBEAT_S):
                event = await subscriber.queue.get()
        except TimeoutError:
            if ended:
                return
            yield b": still here\n\n"
            continue
        if event.sequence > sent:
            sent = event.sequence
            ended = (ended or event.type in ENDS) and event.type != "training.retry_requested"
            yield event.message
