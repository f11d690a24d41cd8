"""The pages of the wizard, one address a step. What is filled in lives in the browser and at the gateway, not here."""

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import RedirectResponse

from fluxline_studio.deps import Parts, SignedIn, render
from fluxline_studio.pages.wizard_view import STEPS, view

router = APIRouter(prefix="/new")


@router.get("")
async def first_step() -> Response:
    """The wizard begins with the photos."""
    return RedirectResponse(f"/new/{STEPS[0]}", 303)


@router.get("/{step}")
async def wizard_step(request: Request, step: str, studio: Parts, session: SignedIn) -> Response:
    """One step; whether those before it are done, the browser knows."""
    if step not in STEPS:
        raise HTTPException(404)
    limits = await studio.gateway.get("/v1/limits", session.key)
    return render(request, f"wizard/{step}.html", **view(step, session.owner, limits))
