"""Pictures with a model: a form, and below it what was made; `generate.js` keeps that as it is."""

from typing import Any
from urllib.parse import urlencode
from uuid import UUID, uuid4

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from fluxline_studio.deps import Parts, SignedIn, Studio, render
from fluxline_studio.forms import form_of
from fluxline_studio.gateway import GatewayProblem
from fluxline_studio.sessions import Session

router = APIRouter(prefix="/models/{model_id}/generate")
NUMBERS = {"num_outputs": int, "num_inference_steps": int, "seed": int, "lora_scale": float, "guidance_scale": float}
FIELDS = ("prompt", "aspect_ratio", "output_format", *NUMBERS)
LATEST = 12


@router.get("")
async def page(
    request: Request, model_id: UUID, studio: Parts, session: SignedIn, again: UUID | None = None, cursor: str = ""
) -> Response:
    """The form, filled with what made `again` if that is given, and the pictures."""
    filled: dict[str, Any] = {}
    if again:
        filled = (await studio.gateway.get(f"/v1/generations/{again}", session.key))["parameters"]
    return await _page(request, studio, session, model_id, filled=filled, cursor=cursor)


@router.get("/pictures")
async def pictures(request: Request, model_id: UUID, studio: Parts, session: SignedIn) -> Response:
    """The newest pictures alone, for the page's script."""
    made = await _made(studio, session, model_id)
    return render(request, "models/pictures.html", generations=made["items"], model_id=model_id)


@router.post("")
async def make(request: Request, model_id: UUID, studio: Parts, session: SignedIn) -> Response:
    """Ask for pictures; sent twice with the same `once` it is one order."""
    form = await form_of(request)
    headers = {"Idempotency-Key": form.get("once") or str(uuid4())}
    path = f"/v1/models/{model_id}/generations"
    try:
        await studio.gateway.call("POST", path, session.key, json=order_of(form), headers=headers)
    except GatewayProblem as problem:
        if problem.status in (401, 404):
            raise
        return await _page(request, studio, session, model_id, filled=form, problem=problem)
    return RedirectResponse(f"/models/{model_id}/generate#pictures", 303)


def order_of(form: dict[str, str]) -> dict[str, Any]:
    """The gateway's body of a form; what is no number stays as it was written, for the gateway to refuse."""
    return {name: _value(name, form[name].strip()) for name in FIELDS if form.get(name, "").strip()}


def _value(name: str, text: str) -> str | int | float:
    try:
        return NUMBERS[name](text) if name in NUMBERS else text
    except ValueError:
        return text


async def _made(studio: Studio, session: Session, model_id: UUID, cursor: str = "") -> Any:
    return await studio.gateway.get("/v1/generations", session.key, model_id=str(model_id), limit=LATEST, cursor=cursor)


async def _page(
    request: Request,
    studio: Studio,
    session: Session,
    model_id: UUID,
    *,
    filled: dict[str, Any],
    problem: GatewayProblem | None = None,
    cursor: str = "",
) -> Response:
    model = await studio.gateway.get(f"/v1/models/{model_id}", session.key)
    limits = (await studio.gateway.get("/v1/limits", session.key))["generation"]
    made = await _made(studio, session, model_id, cursor)
    here = f"/models/{model_id}/generate"
    return render(
        request,
        "models/generate.html",
        status_code=problem.status if problem else 200,
        model=model,
        model_id=model_id,
        limits=limits,
        filled=filled,
        problem=problem,
        wrong={error.get("field"): error.get("message") for error in problem.errors} if problem else {},
        once=str(uuid4()),
        generations=made["items"],
        newest=here if cursor else None,
        older=f"{here}?{urlencode({'cursor': made['next_cursor']})}" if made["next_cursor"] else None,
    )
