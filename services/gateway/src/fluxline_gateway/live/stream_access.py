"""Who may read a training's events: the bearer of a key, as everywhere, or of a ticket to that one training."""

import time
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response, Security
from fastapi.security import APIKeyQuery, HTTPAuthorizationCredentials
from pydantic import BaseModel, ConfigDict

from fluxline_gateway import examples
from fluxline_gateway.deps import Deps, Owner, bearer, count, current_owner
from fluxline_gateway.errors import problems
from fluxline_gateway.identity.keys import Principal
from fluxline_gateway.live.stream_tickets import PARAMETER
from fluxline_gateway.trainings.routes import find_training

router = APIRouter(prefix="/v1/trainings/{training_id}/events", tags=["trainings"])

ticket_in_query = APIKeyQuery(
    name=PARAMETER,
    auto_error=False,
    scheme_name="stream_ticket",
    description="A ticket of POST /v1/trainings/{training_id}/events/ticket, for an EventSource, which sends no header",
)
_EXAMPLE = f"1795687200.{examples.OWNER}.c2lnbmF0dXJl"


class TicketOut(BaseModel):
    """A URL that opens one training's events without a key; `url` is relative to the gateway's address."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "url": f"/v1/trainings/{examples.TRAINING_ID}/events?ticket={_EXAMPLE}",
                    "expires_at": examples.EXPIRES_AT,
                }
            ]
        }
    )

    url: str
    expires_at: datetime


async def stream_owner(
    request: Request,
    training_id: UUID,
    gateway: Deps,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)],
    ticket: Annotated[str | None, Security(ticket_in_query)] = None,
) -> Principal:
    """Whose training may be read; a ticket counts where no key was sent."""
    if credentials is None and ticket is not None:
        owner = await gateway.tickets.owner_of(gateway.database, training_id, ticket, time.time())
        principal = Principal(owner, None, frozenset({"read"}))
        request.state.principal = principal
        await count(request, gateway, owner)
        return principal
    return await current_owner(request, gateway, credentials)


StreamOwner = Annotated[Principal, Depends(stream_owner)]


@router.post(
    "/ticket",
    status_code=201,
    operation_id="create_event_ticket",
    responses=problems(_404="There is no such training"),
)
async def create_event_ticket(training_id: UUID, response: Response, gateway: Deps, owner: Owner) -> TicketOut:
    """Get a URL for an EventSource, which cannot send a key.

    For one hour it opens the live stream and the history of this training, and nothing else. A stream that is open
    goes on after that; an EventSource that reconnects later is refused with 401: get another ticket then. Whoever has
    the URL can read the events, also when the key that asked for it is revoked.
    """
    await find_training(gateway, owner.owner, training_id)
    ticket, expires = await gateway.tickets.issue(gateway.database, training_id, owner.owner, time.time())
    response.headers["Cache-Control"] = "no-store"
    url = f"/v1/trainings/{training_id}/events?{PARAMETER}={ticket}"
    return TicketOut(url=url, expires_at=datetime.fromtimestamp(expires, UTC))
