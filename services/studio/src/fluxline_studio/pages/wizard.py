"""The pages of the wizard, one address a step. What is filled in lives in the browser and at the gateway, not here."""

from collections.abc import Mapping
from typing import Any, Protocol

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import RedirectResponse, Response

from fluxline_studio.pages.wizard_view import PATHS, STEPS, view


class WizardPages(Protocol):
    """What the wizard needs of the studio."""

    async def owner(self, request: Request) -> str:
        """Who is signed in; raises what leads to the sign-in page when nobody is."""

    async def limits(self, request: Request) -> dict[str, Any]:
        """What `GET /v1/limits` of the gateway answers; raises GatewayProblem."""

    def page(self, request: Request, template: str, names: Mapping[str, Any]) -> Response:
        """The template as a page."""


def wizard_router(studio: WizardPages) -> APIRouter:
    """`/new` and its steps."""
    router = APIRouter()

    @router.get("/new", include_in_schema=False)
    async def first_step() -> RedirectResponse:
        """The wizard begins with the photos."""
        return RedirectResponse(PATHS["steps"][STEPS[0]], status_code=303)

    @router.get("/new/{step}", include_in_schema=False)
    async def show_step(request: Request, step: str) -> Response:
        """One step; whether those before it are done, the browser knows."""
        if step not in STEPS:
            raise HTTPException(404)
        owner = await studio.owner(request)
        return studio.page(request, f"wizard/{step}.html", view(step, owner, await studio.limits(request)))

    return router
