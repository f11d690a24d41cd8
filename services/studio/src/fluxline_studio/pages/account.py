"""Who is signed in, within which limits, with which keys."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from fluxline_studio.deps import Parts, SignedIn, Studio, render
from fluxline_studio.forms import form_of
from fluxline_studio.gateway import GatewayProblem
from fluxline_studio.sessions import Session

router = APIRouter(prefix="/account")


@router.get("")
async def account(request: Request, studio: Parts, session: SignedIn, revoke: UUID | None = None) -> Response:
    """The page; `revoke` is the key that it asks about."""
    return await _page(request, studio, session, revoke=str(revoke) if revoke else None)


@router.post("/keys")
async def make_key(request: Request, studio: Parts, session: SignedIn) -> Response:
    """Make a key with the session's scopes, and show it this once."""
    name = (await form_of(request)).get("name", "").strip()
    try:
        made = await studio.gateway.post("/v1/keys", session.key, {"name": name, "scopes": list(session.scopes)})
    except GatewayProblem as problem:
        if problem.status != 422:
            raise
        return await _page(request, studio, session, problem=problem, name=name)
    answer = await _page(request, studio, session, made=made["key"])
    answer.headers["Cache-Control"] = "no-store"
    return answer


@router.post("/keys/{key_id}/revoke")
async def revoke_key(key_id: UUID, studio: Parts, session: SignedIn) -> Response:
    """End a key; one's own ends the session at its next call."""
    await studio.gateway.call("DELETE", f"/v1/keys/{key_id}", session.key)
    return RedirectResponse("/account#keys", 303)


async def _page(
    request: Request,
    studio: Studio,
    session: Session,
    *,
    revoke: str | None = None,
    made: str | None = None,
    problem: GatewayProblem | None = None,
    name: str = "",
) -> Response:
    me = await studio.gateway.get("/v1/me", session.key)
    keys: list[dict[str, Any]] = (await studio.gateway.get("/v1/keys", session.key, limit=100))["items"]
    asked = next((key for key in keys if key["id"] == revoke), None)
    return render(
        request,
        "account.html",
        status_code=problem.status if problem else 200,
        me=me,
        keys=keys,
        asked=asked,
        made=made,
        problem=problem,
        name=name,
    )
