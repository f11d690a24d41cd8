"""One training: where it is, how long it takes, why it waits; live, with what can be done about it."""

from uuid import UUID

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse, StreamingResponse

from fluxline_studio.deps import Parts, SignedIn, Studio, render
from fluxline_studio.gateway import GatewayProblem
from fluxline_studio.job_view import Told, view
from fluxline_studio.live import fragments

router = APIRouter(prefix="/trainings")


@router.get("/{training_id}")
async def job(request: Request, training_id: UUID, studio: Parts, session: SignedIn) -> Response:
    """The page as it is now; `live.js` keeps it so."""
    training = await studio.gateway.get(f"/v1/trainings/{training_id}", session.key)
    told = await told_so_far(studio, session.key, training_id)
    return render(request, "job/job.html", asked=request.query_params.get("ask", ""), **view(training, told))


@router.get("/{training_id}/live")
async def live(request: Request, training_id: UUID, studio: Parts, session: SignedIn) -> Response:
    """Server-sent fragments of the page, each rendered by the macros of the page."""
    told = await told_so_far(studio, session.key, training_id)
    stream = fragments(studio, session.key, training_id, told)
    return StreamingResponse(stream, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})


@router.get("/{training_id}/debug")
async def debug(request: Request, training_id: UUID, studio: Parts, session: SignedIn) -> Response:
    """The summary and the log."""
    path = f"/v1/trainings/{training_id}"
    training = await studio.gateway.get(path, session.key)
    try:
        summary = await studio.gateway.get(f"{path}/debug", session.key)
        logs = (await studio.gateway.get(f"{path}/debug/logs", session.key, order="newest", limit=200))["items"]
        problem = None
    except GatewayProblem as error:
        summary, logs, problem = None, [], error
    return render(request, "job/debug.html", training=training, summary=summary, logs=logs, problem=problem)


@router.post("/{training_id}/retry")
async def retry(training_id: UUID, studio: Parts, session: SignedIn) -> Response:
    """Go on at the stage that failed."""
    await studio.gateway.post(f"/v1/trainings/{training_id}/retry", session.key)
    return RedirectResponse(f"/trainings/{training_id}", 303)


@router.post("/{training_id}/cancel")
async def cancel(training_id: UUID, studio: Parts, session: SignedIn) -> Response:
    """Stop the training."""
    await studio.gateway.post(f"/v1/trainings/{training_id}/cancel", session.key)
    return RedirectResponse(f"/trainings/{training_id}", 303)


@router.post("/{training_id}/delete")
async def delete(training_id: UUID, studio: Parts, session: SignedIn) -> Response:
    """Delete the training with all that it made."""
    await studio.gateway.call("DELETE", f"/v1/trainings/{training_id}", session.key)
    return RedirectResponse("/", 303)


async def told_so_far(studio: Studio, key: str, training_id: UUID) -> Told:
    """All events until now, page by page."""
    told, cursor = Told(), None
    while True:
        path = f"/v1/trainings/{training_id}/events"
        page = await studio.gateway.get(path, key, cursor=cursor, limit=1000)
        for event in page["items"]:
            told.add(event)
        cursor = page["next_cursor"]
        if cursor is None:
            return told
