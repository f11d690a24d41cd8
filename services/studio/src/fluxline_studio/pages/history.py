"""The trainings: search, status, pages."""

from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response

from fluxline_studio import texts
from fluxline_studio.deps import Parts, SignedIn, render
from fluxline_studio.job_view import ENDED

router = APIRouter()


@router.get("/")
async def history(
    request: Request, studio: Parts, session: SignedIn, q: str = "", status: str = "", cursor: str = ""
) -> Response:
    """All of the filter is in the address."""
    q, status = q.strip()[:100], status if status in texts.statuses else ""
    page = await studio.gateway.get("/v1/trainings", session.key, q=q, status=status, cursor=cursor, limit=20)
    filters = {name: value for name, value in (("q", q), ("status", status)) if value}
    older = f"/?{urlencode({**filters, 'cursor': page['next_cursor']})}" if page["next_cursor"] else None
    newest = f"/?{urlencode(filters)}" if cursor else None
    running = any(training["status"] not in ENDED for training in page["items"])
    return render(
        request,
        "history.html",
        trainings=page["items"],
        q=q,
        status=status,
        older=older,
        newest=newest,
        running=running,
    )
