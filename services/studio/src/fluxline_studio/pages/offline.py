"""The page that a browser keeps for when the studio cannot be reached, and the worker that shows it."""

from fastapi import APIRouter, Request, Response

from fluxline_studio.deps import Parts, render

router = APIRouter()


@router.get("/offline")
async def offline(request: Request) -> Response:
    """The page; it says nothing about anybody, as it is kept."""
    return render(request, "offline.html", session=None)


@router.get("/worker.js")
async def worker(request: Request, studio: Parts) -> Response:
    """The worker, at the root: it may serve only pages below its own address."""
    answer = studio.assets.answer(request, "", "worker.js")
    answer.headers["Cache-Control"] = "no-cache"
    return answer
