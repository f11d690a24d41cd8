"""`/v1/admin/alerts`: what the debug-collector's rules have found, and whether its channels work; for operators."""

from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response

from fluxline.contracts.alerts import AlertIncident, AlertIncidentPage, AlertRules, AlertTest, IncidentStatus
from fluxline_gateway.debug.collector_client import ask, order
from fluxline_gateway.deps import Deps, Owner
from fluxline_gateway.errors import problems
from fluxline_gateway.identity.scopes import ADMIN_PATH
from fluxline_gateway.pages import DEFAULT_LIMIT, Limit, Page, link_next

MOST: Final = 2**63 - 1
router = APIRouter(
    prefix=f"{ADMIN_PATH}/alerts", tags=["operations"], responses=problems(_503="The debug-collector does not answer")
)
Status = Annotated[IncidentStatus | None, Query(description="only those of this status", examples=["open"])]
After = Annotated[int | None, Query(ge=1, le=MOST, description="`next_cursor` of the page before", examples=[18])]


@router.get("", operation_id="list_alerts")
async def list_alerts(
    request: Request,
    response: Response,
    gateway: Deps,
    _: Owner,
    status: Status = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: After = None,
) -> Page[AlertIncident]:
    """What the rules have found, newest first: each once, from when it began until it had gone for a while."""
    page = await ask(gateway, "/v1/alerts", AlertIncidentPage, status=status, limit=limit, cursor=cursor)
    link_next(request, response, page.next_cursor)
    return Page(items=page.items, next_cursor=page.next_cursor)


@router.get("/rules", operation_id="list_alert_rules")
async def list_alert_rules(gateway: Deps, _: Owner) -> AlertRules:
    """The rules in force, the channels that notices go to, and the quiet hours."""
    return await ask(gateway, "/v1/alerts/rules", AlertRules)


@router.post("/test", operation_id="send_test_alert")
async def send_test_alert(gateway: Deps, _: Owner) -> AlertTest:
    """Send a test notice through every channel now, and say of each whether it took it.

    It is sent whatever the hour and the severities of the channel. A channel has 20 seconds.
    """
    return await order(gateway, "/v1/alerts/test", AlertTest)
