"""For operators, whose key has the scope `admin`: services, dead letters, alerts, figures, logs, owners, calls."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from fluxline_studio import operations_view as view
from fluxline_studio import texts
from fluxline_studio.deps import Parts, SignedIn, Studio, render
from fluxline_studio.gateway import GatewayProblem
from fluxline_studio.operations_view import Source, Table
from fluxline_studio.sessions import Session

router = APIRouter(prefix="/operations")
LETTERS = "/v1/admin/dead-letters"
DAYS = {"day": 1, "week": 7, "month": 30}


@router.get("")
async def overview(request: Request, studio: Parts, session: SignedIn, drop: int | None = None) -> Response:
    """Services, dead letters and what the rules find just now. Each part says so if it does not answer."""
    health, no_health = await _asked(studio, session, "/v1/admin/health")
    letters, no_letters = await _asked(studio, session, LETTERS, limit=50)
    alerts, _ = await _table(studio, session, view.ALERTS, status="open")
    return render(
        request,
        "operations/overview.html",
        tab="overview",
        health=health["services"] if health else [],
        no_health=no_health,
        letters=letters["items"] if letters else [],
        no_letters=no_letters,
        tables=[alerts],
        drop=drop,
    )


@router.post("/dead-letters/{number}/replay")
async def replay(number: int, studio: Parts, session: SignedIn) -> Response:
    """Put the message back where it came from."""
    await studio.gateway.post(f"{LETTERS}/{number}/replay", session.key)
    return RedirectResponse("/operations#dead-letters", 303)


@router.post("/dead-letters/{number}/drop")
async def drop(number: int, studio: Parts, session: SignedIn) -> Response:
    """Remove the message for good."""
    await studio.gateway.call("DELETE", f"{LETTERS}/{number}", session.key)
    return RedirectResponse("/operations#dead-letters", 303)


@router.get("/alerts")
async def alerts(request: Request, studio: Parts, session: SignedIn, cursor: str = "") -> Response:
    """What was found, and the rules."""
    return await _alerts(request, studio, session, cursor)


@router.post("/alerts/test")
async def test_alerts(request: Request, studio: Parts, session: SignedIn) -> Response:
    """Send a test notice through every channel, and say of each whether it arrived."""
    tested = await studio.gateway.post("/v1/admin/alerts/test", session.key)
    return await _alerts(request, studio, session, "", tested["channels"])


@router.get("/insights")
async def insights(
    request: Request, studio: Parts, session: SignedIn, period: str = "week", stage: str = ""
) -> Response:
    """Figures over all trainings of a period, of one stage or all."""
    filters = {"period": period if period in DAYS else "week", "stage": stage if stage in view.STAGES else ""}
    since = (datetime.now(UTC) - timedelta(days=DAYS[filters["period"]])).isoformat()
    tables = [
        (await _table(studio, session, source, since=since, **({"stage": filters["stage"]} if source.staged else {})))[
            0
        ]
        for source in view.INSIGHTS
    ]
    return render(
        request, "operations/insights.html", tab="insights", tables=tables, filters=filters, stages=view.STAGES
    )


@router.get("/logs")
async def logs(
    request: Request, studio: Parts, session: SignedIn, q: str = "", level: str = "", cursor: str = ""
) -> Response:
    """What the services write, newest first."""
    filters = {"q": q.strip()[:100], "level": level if level in texts.operations.levels else ""}
    table, more = await _table(studio, session, view.LOGS, **filters, cursor=cursor)
    older = f"/operations/logs?{urlencode({**filters, 'cursor': more})}" if more else None
    return render(request, "operations/logs.html", tab="logs", tables=[table], older=older, filters=filters)


@router.get("/owners")
async def owners(request: Request, studio: Parts, session: SignedIn, cursor: str = "") -> Response:
    """Every owner, with what they use."""
    return await _listed(request, studio, session, "owners", view.OWNERS, cursor)


@router.get("/audit")
async def audit(request: Request, studio: Parts, session: SignedIn, cursor: str = "") -> Response:
    """Who has called what."""
    return await _listed(request, studio, session, "audit", view.AUDIT, cursor)


async def _alerts(
    request: Request, studio: Studio, session: Session, cursor: str, tested: list[Any] | None = None
) -> Response:
    found, more = await _table(studio, session, view.ALERTS, cursor=cursor)
    rules, _ = await _table(studio, session, view.RULES)
    older = f"/operations/alerts?{urlencode({'cursor': more})}" if more else None
    tables = [found, rules]
    return render(request, "operations/alerts.html", tab="alerts", tables=tables, older=older, tested=tested)


async def _listed(
    request: Request, studio: Studio, session: Session, tab: str, source: Source, cursor: str
) -> Response:
    table, more = await _table(studio, session, source, cursor=cursor)
    older = f"/operations/{tab}?{urlencode({'cursor': more})}" if more else None
    return render(request, "operations/tables.html", tab=tab, tables=[table], older=older)


async def _table(studio: Studio, session: Session, source: Source, **params: Any) -> tuple[Table, str | None]:
    """The table, and where the next page begins."""
    page, problem = await _asked(studio, session, source.path, **{**source.params, **params})
    return source.table(page["items"] if page else [], problem), page.get("next_cursor") if page else None


async def _asked(studio: Studio, session: Session, path: str, **params: Any) -> tuple[Any, str | None]:
    """The gateway's answer, or why this part has none; who may not see it is told by the whole page."""
    try:
        return await studio.gateway.get(path, session.key, **params), None
    except GatewayProblem as problem:
        if problem.status in (401, 403):
            raise
        return None, f"{problem.title}. {problem.hint}"
