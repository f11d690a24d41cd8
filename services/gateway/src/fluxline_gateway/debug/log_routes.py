"""`/v1/trainings/{id}/debug/logs` and `/v1/admin/logs`: what the services logged, out of the debug-collector."""

from dataclasses import asdict, dataclass
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from fluxline.contracts.logs import Level, LogOrder, LogPage
from fluxline_gateway import examples
from fluxline_gateway.debug.collector_client import ask
from fluxline_gateway.debug.log_views import LogEntry, log_entry
from fluxline_gateway.deps import Deps, Gateway, Owner
from fluxline_gateway.errors import problems
from fluxline_gateway.identity.scopes import ADMIN_PATH
from fluxline_gateway.moments import Moment
from fluxline_gateway.pages import Cursor, Page, link_next
from fluxline_gateway.trainings.routes import find_training

router = APIRouter(prefix="/v1/trainings/{training_id}/debug/logs", tags=["debug"])
admin_router = APIRouter(prefix=f"{ADMIN_PATH}/logs", tags=["admin"])
DEFAULT_LIMIT: Final = 100
_DOWN: Final = "The debug-collector does not answer"
Limit = Annotated[int, Query(ge=1, le=1000, description="how many entries a page has at most")]
Order = Annotated[LogOrder, Query(description="which entry comes first", examples=["oldest"])]


@dataclass(frozen=True)
class Wanted:
    """Which entries a request asks for."""

    level: Annotated[Level, Query(description="those of this level and above", examples=["warning"])] = "debug"
    service: Annotated[
        str | None, Query(max_length=100, description="those of this service", examples=["publisher"])
    ] = None
    q: Annotated[str | None, Query(max_length=200, description="a part of the event, the logger or a field")] = None
    since: Annotated[Moment | None, Query(description="from this time on", examples=[examples.CREATED_AT])] = None
    until: Annotated[Moment | None, Query(description="before this time", examples=[examples.EXPIRES_AT])] = None


Filter = Annotated[Wanted, Depends()]


@router.get(
    "",
    operation_id="list_training_logs",
    responses=problems(_404="There is no such training", _503=_DOWN),
)
async def list_training_logs(
    training_id: UUID,
    request: Request,
    response: Response,
    gateway: Deps,
    owner: Owner,
    wanted: Filter,
    order: Order = "oldest",
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Page[LogEntry]:
    """What the services logged while they worked on the training, the oldest entries first.

    An entry is here seconds after it was written, and for 14 days (`COLLECTOR_KEEP_LOG_DAYS`).
    """
    await find_training(gateway, owner.owner, training_id)
    path = f"/v1/trainings/{training_id}/logs"
    page = await _page(gateway, path, wanted, order, limit, cursor, with_internals=owner.may("admin"))
    link_next(request, response, page.next_cursor)
    return page


@admin_router.get("", operation_id="list_logs", responses=problems(_503=_DOWN))
async def list_logs(
    request: Request,
    response: Response,
    gateway: Deps,
    _: Owner,
    wanted: Filter,
    order: Order = "newest",
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Page[LogEntry]:
    """What all services logged, whatever it was about, the newest entries first."""
    page = await _page(gateway, "/v1/logs", wanted, order, limit, cursor, with_internals=True)
    link_next(request, response, page.next_cursor)
    return page


async def _page(
    gateway: Gateway,
    path: str,
    wanted: Wanted,
    order: LogOrder,
    limit: int,
    cursor: str | None,
    *,
    with_internals: bool,
) -> Page[LogEntry]:
    parameters = asdict(wanted) | {"order": order, "limit": limit, "after": cursor}
    page = await ask(gateway, path, LogPage, **parameters)
    items = [log_entry(record, with_internals=with_internals) for record in page.items]
    return Page(items=items, next_cursor=page.next_cursor)
