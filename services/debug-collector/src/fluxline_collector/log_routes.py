"""Logs over HTTP: a training's, and everybody's. For the gateway and for operators."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, HTTPException, Query
from pydantic import AwareDatetime, SecretStr

from fluxline.contracts.logs import Level, LogOrder, LogPage
from fluxline_collector.api import bearer
from fluxline_collector.log_store import BadCursor, LogFilter, LogStore

Limit = Annotated[int, Query(ge=1, le=1000)]
MAX_QUERY_CHARS = 200


def log_filter(
    level: Level = "debug",
    service: Annotated[str | None, Query(max_length=100)] = None,
    q: Annotated[str | None, Query(max_length=MAX_QUERY_CHARS)] = None,
    since: AwareDatetime | None = None,
    until: AwareDatetime | None = None,
) -> LogFilter:
    """The filter that a request's query describes."""
    return LogFilter(level=level, service=_text(service), q=_text(q), since=_time(since), until=_time(until))


Wanted = Annotated[LogFilter, Depends(log_filter)]


def router(logs: LogStore, token: SecretStr) -> APIRouter:
    """The routes, each behind the bearer token."""
    routes = APIRouter(prefix="/v1", dependencies=[Depends(bearer(token))], tags=["logs"])

    @routes.get("/trainings/{training_id}/logs")
    async def list_logs_of_training(
        training_id: UUID, wanted: Wanted, after: str | None = None, limit: Limit = 200, order: LogOrder = "oldest"
    ) -> LogPage:
        """What was logged while working on the training."""
        try:
            return await logs.of_training(training_id, wanted, after=after, limit=limit, order=order)
        except BadCursor as error:
            raise HTTPException(422, str(error)) from error

    @routes.get("/logs")
    async def list_logs(
        wanted: Wanted, after: str | None = None, limit: Limit = 200, order: LogOrder = "newest"
    ) -> LogPage:
        """What all services logged."""
        try:
            return await logs.of_all(wanted, after=after, limit=limit, order=order)
        except BadCursor as error:
            raise HTTPException(422, str(error)) from error

    return routes


def _text(value: str | None) -> str | None:
    """PostgreSQL knows no NUL; nothing that is stored holds one."""
    return value.replace("\0", "\ufffd").encode(errors="replace").decode() if value else None


def _time(value: datetime | None) -> datetime | None:
    """Within what PostgreSQL's driver can say in UTC."""
    if value is None:
        return None
    if not 1970 <= value.year < 9000:
        raise HTTPException(422, "The time is too far away.")
    return value
