"""The models: what trainings have made, its files, and where it is published."""

from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Request, Response

from fluxline_studio.deps import Parts, SignedIn, render

router = APIRouter(prefix="/models")


@router.get("")
async def models(request: Request, studio: Parts, session: SignedIn, cursor: str = "") -> Response:
    """All models, newest first."""
    page = await studio.gateway.get("/v1/models", session.key, cursor=cursor, limit=24)
    older = f"/models?{urlencode({'cursor': page['next_cursor']})}" if page["next_cursor"] else None
    newest = "/models" if cursor else None
    return render(request, "models/models.html", models=page["items"], older=older, newest=newest)


@router.get("/{model_id}")
async def model(request: Request, model_id: UUID, studio: Parts, session: SignedIn) -> Response:
    """One model's card, with the newest of its pictures."""
    found = await studio.gateway.get(f"/v1/models/{model_id}", session.key)
    made = await studio.gateway.get("/v1/generations", session.key, model_id=str(model_id), status="succeeded", limit=4)
    hub = found["huggingface"]
    link = hub["url"] if hub and hub["url"].startswith("https://") else None
    return render(request, "models/model.html", model=found, generations=made["items"], hub_link=link)
