"""`/v1/trainings/{id}/events`: what happened, live as server-sent events or as a list."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel

from fluxline_gateway.deps import Deps, Owner
from fluxline_gateway.event_stream import EventStream, live_stream
from fluxline_gateway.history import MAX_EVENTS, EventOut, events_after
from fluxline_gateway.trainings import find_training

router = APIRouter(prefix="/v1/trainings/{training_id}/events", tags=["trainings"])

MAX_SEQUENCE = 2**63 - 1
Sequence = Annotated[int | None, Query(ge=0, le=MAX_SEQUENCE)]


class EventPage(BaseModel):
    """Events in the order of the stream; `next_cursor` is null where the history ends for now."""

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
    after: Annotated[Sequence, Query(description="only events with a greater id")] = None,
    cursor: Annotated[Sequence, Query(description="`next_cursor` of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_EVENTS)] = 200,
    last_event_id: Annotated[str | None, Query(max_length=20, description="as the header Last-Event-ID")] = None,
    last_event_id_header: Annotated[str | None, Header(alias="Last-Event-ID", max_length=20)] = None,
) -> Response:
    """History for `Accept: application/json`; otherwise a stream: a snapshot first, then every event.

    `Last-Event-ID` (or `after`) replays what was missed. The stream ends with the event `end` when the training has.
    """
    await find_training(gateway, owner.owner, training_id)
    if "application/json" in request.headers.get("accept", ""):
        items = await events_after(gateway.database, training_id, max(after or 0, cursor or 0), limit)
        page = EventPage(items=items, next_cursor=items[-1].id if len(items) == limit else None)
        return Response(page.model_dump_json(), media_type="application/json")
    seen = last_event_id_header or last_event_id or ""
    start = min(int(seen), MAX_SEQUENCE) if seen.isdecimal() else after
    return EventStream(live_stream(gateway, owner.owner, training_id, start))
