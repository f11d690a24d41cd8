"""The collector over HTTP: a training's events, their summary, their export. For the gateway and for operators."""

import hmac
import json
from collections.abc import AsyncIterator
from typing import Annotated, Any
from uuid import UUID

import asyncpg
from fastapi import APIRouter, Depends, Header, HTTPException, Query
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, SecretStr

from fluxline_collector.journal import line_of
from fluxline_collector.store import EventStore
from fluxline_collector.summary import StoredEvent, Summary, summarise


class Page(BaseModel):
    """Events in stream order; `next_cursor` is the `after` of the next page."""

    items: list[StoredEvent]
    next_cursor: int | None


def router(store: EventStore, token: SecretStr) -> APIRouter:
    """The routes, each behind the bearer token."""
    routes = APIRouter(prefix="/v1/trainings/{training_id}", dependencies=[Depends(_bearer(token))], tags=["trainings"])

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
        events = [stored_event(row) async for row in store.all_of(training_id)]
        if not events:
            raise _unknown(training_id)
        return summarise(training_id, events)

    @routes.get("/export")
    async def export(training_id: UUID) -> StreamingResponse:
        """Everything that is stored of the training, one JSON object per line, headers included."""
        if not await store.page(training_id, after=0, limit=1):
            raise _unknown(training_id)
        return StreamingResponse(
            _lines(store, training_id),
            media_type="application/x-ndjson",
            headers={"content-disposition": f'attachment; filename="fluxline-{training_id}.ndjson"'},
        )

    return routes


def stored_event(row: asyncpg.Record) -> StoredEvent:
    """A row as the API shows it."""
    facts: dict[str, Any] | None = json.loads(row["facts"]) if row["facts"] is not None else None
    level, message = line_of(row["subject"], facts, row["problem"])
    same = ("event_id", "occurred_at", "stored_at", "received_at", "stage", "service", "category", "retryable")
    more = ("attempt", "duration_ms", "trace_id", "problem")
    return StoredEvent(
        id=row["sequence"],
        type=row["subject"],
        level=level,
        message=message,
        data=facts,
        **{name: row[name] for name in same + more},
    )


async def _lines(store: EventStore, training_id: UUID) -> AsyncIterator[bytes]:
    async for row in store.all_of(training_id):
        event = stored_event(row).model_dump(mode="json")
        raw = None if event["data"] is not None else bytes(row["body"]).decode(errors="replace")
        yield json.dumps(event | {"headers": json.loads(row["headers"]), "raw": raw}).encode() + b"\n"


def _bearer(token: SecretStr) -> Any:
    expected = f"Bearer {token.get_secret_value()}".encode()

    async def check(authorization: Annotated[str, Header()] = "") -> None:
        if not hmac.compare_digest(authorization.encode(), expected):
            raise HTTPException(401, "The bearer token is missing or wrong: use COLLECTOR_TOKEN.")

    return check


def _unknown(training_id: UUID) -> HTTPException:
    return HTTPException(404, f"No event of training {training_id} has been stored.")
