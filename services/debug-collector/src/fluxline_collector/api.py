"""The collector over HTTP: a training's events, summary, timeline, export. For the gateway and for operators."""

import hmac
import json
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Header, HTTPException, Query
from fastapi.responses import HTMLResponse, StreamingResponse
from pydantic import BaseModel, SecretStr

from fluxline.contracts.debugging import StoredEvent, Summary, Timeline
from fluxline_collector.history import stored_event
from fluxline_collector.store import EventStore
from fluxline_collector.teller import Teller, unknown

NDJSON = "application/x-ndjson"


class Page(BaseModel):
    """Events in stream order; `next_cursor` is the `after` of the next page."""

    items: list[StoredEvent]
    next_cursor: int | None


def router(store: EventStore, teller: Teller, token: SecretStr) -> APIRouter:
    """The routes, each behind the bearer token."""
    routes = APIRouter(prefix="/v1/trainings/{training_id}", dependencies=[Depends(bearer(token))], tags=["trainings"])

    @routes.get("/events")
    async def list_events(
        training_id: UUID,
        after: Annotated[int, Query(ge=0)] = 0,
        limit: Annotated[int, Query(ge=1, le=1000)] = 200,
    ) -> Page:
        """The training's events after sequence `after`."""
        rows = await store.page(training_id, after=after, limit=limit)
        items = [stored_event(row) for row in rows]
        return Page(items=items, next_cursor=items[-1].id if len(items) == limit else None)

    @routes.get("/summary")
    async def get_summary(training_id: UUID) -> Summary:
        """Where the training is, why, and what to do."""
        return await teller.summary(training_id)

    @routes.get("/timeline")
    async def get_timeline(training_id: UUID) -> Timeline:
        """What happened, in the order of time, and the spans of a waterfall."""
        return await teller.timeline(training_id)

    @routes.get("/export", response_model=None)
    async def export(
        training_id: UUID, format: Annotated[Literal["ndjson", "html"], Query()] = "ndjson"
    ) -> StreamingResponse | HTMLResponse:
        """Everything as NDJSON, one event a line with its headers; or the report for a person."""
        headers = {"content-disposition": f'attachment; filename="fluxline-{training_id}.{format}"'}
        if format == "html":
            return HTMLResponse(await teller.report(training_id), headers=headers)
        if not await store.page(training_id, after=0, limit=1):
            raise unknown(training_id)
        return StreamingResponse(_lines(store, training_id), media_type=NDJSON, headers=headers)

    return routes


async def _lines(store: EventStore, training_id: UUID) -> AsyncIterator[bytes]:
    async for row in store.all_of(training_id):
        event = stored_event(row).model_dump(mode="json")
        raw = None if event["data"] is not None else bytes(row["body"]).decode(errors="replace")
        yield json.dumps(event | {"headers": json.loads(row["headers"]), "raw": raw}).encode() + b"\n"


def bearer(token: SecretStr) -> Any:
    """The dependency that lets in who sends the token."""
    expected = f"Bearer {token.get_secret_value()}".encode()

    async def check(authorization: Annotated[str, Header()] = "") -> None:
        if not hmac.compare_digest(authorization.encode(), expected):
            raise HTTPException(401, "The bearer token is missing or wrong: use COLLECTOR_TOKEN.")

    return check
