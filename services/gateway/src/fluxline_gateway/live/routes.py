"""`/v1/trainings/{id}/events`: what happened, live as server-sent events or as a list."""

import json
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict
from pydantic.config import JsonDict

from fluxline_gateway import examples
from fluxline_gateway.deps import Deps
from fluxline_gateway.errors import problems
from fluxline_gateway.live.event_stream import live_stream
from fluxline_gateway.live.history import MAX_EVENTS, EventOut
from fluxline_gateway.live.past import past_events
from fluxline_gateway.live.stream_access import StreamOwner
from fluxline_gateway.live.stream_answer import EventStream
from fluxline_gateway.trainings.routes import find_training
from fluxline_gateway.trainings.state import TrainingState

router = APIRouter(prefix="/v1/trainings/{training_id}/events", tags=["trainings"])

MAX_SEQUENCE = 2**63 - 1
Sequence = Annotated[int | None, Query(ge=0, le=MAX_SEQUENCE)]
_EVENT: JsonDict = {
    "id": examples.SEQUENCE,
    "type": "training.progressed",
    "occurred_at": examples.UPDATED_AT,
    "stage": "replicate_training",
    "category": None,
    "attempt": None,
    "duration_ms": None,
    "data": {"percent": 50.0, "step": 500, "steps": 1000},
}
_STREAM = (
    f"id: {examples.SEQUENCE}\nevent: training.progressed\ndata: {json.dumps(_EVENT)}\n\nevent: end\ndata: {{}}\n\n"
)


class EventPage(BaseModel):
    """Events in the order of the stream; `next_cursor` is null where the history ends for now."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"items": [_EVENT], "next_cursor": None}]})

    items: list[EventOut]
    next_cursor: int | None = None


@router.get(
    "",
    operation_id="list_training_events",
    response_model=EventPage,
    responses={
        200: {"content": {"text/event-stream": {"schema": {"type": "string"}, "example": _STREAM}}},
        **problems(_404="There is no such training"),
    },
)
async def training_events(
    request: Request,
    training_id: UUID,
    gateway: Deps,
    owner: StreamOwner,
    after: Annotated[Sequence, Query(description="only events with a greater id")] = None,
    cursor: Annotated[Sequence, Query(description="`next_cursor` of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_EVENTS, description="how many events are listed at most")] = 200,
    last_event_id: Annotated[str | None, Query(max_length=20, description="as the header Last-Event-ID")] = None,
    last_event_id_header: Annotated[str | None, Header(alias="Last-Event-ID", max_length=20)] = None,
) -> Response:
    """What happened, as it happens: a stream of server-sent events, a snapshot first, then every event.

    With `Accept: application/json` it is the history, as a list.
    `Last-Event-ID` (or `after`) replays what was missed. The stream ends with the event `end` when the training has;
    without it, soon after the key was revoked or has expired: who reconnects is answered 401 then.
    """
    row = await find_training(gateway, owner.owner, training_id)
    if "application/json" in request.headers.get("accept", ""):
        known = TrainingState.model_validate_json(row["state"]).sequence
        items = await past_events(gateway, training_id, max(after or 0, cursor or 0), limit, known)
        page = EventPage(items=items, next_cursor=items[-1].id if len(items) == limit else None)
        return Response(page.model_dump_json(), media_type="application/json")
    seen = last_event_id_header or last_event_id or ""
    start = min(int(seen), MAX_SEQUENCE) if seen.isdecimal() else after
    return EventStream(live_stream(gateway, owner, training_id, start))
