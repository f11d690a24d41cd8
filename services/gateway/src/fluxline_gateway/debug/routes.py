"""`/v1/trainings/{id}/debug`: what the debug-collector tells of a training, passed on to its owner as it comes."""

from collections.abc import AsyncIterator
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import httpx
from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse

from fluxline_gateway.debug.collector_client import ask_as_it_comes, open_answer
from fluxline_gateway.debug.views import LINE, DebugSummary, DebugTimeline
from fluxline_gateway.deps import Deps, Owner
from fluxline_gateway.errors import problems
from fluxline_gateway.trainings.routes import find_training

router = APIRouter(prefix="/v1/trainings/{training_id}/debug", tags=["debug"])
_PROBLEMS = problems(
    _404="There is no such training, or nothing has been collected of it", _503="The debug-collector does not answer"
)
_MEDIA: Final = {"ndjson": "application/x-ndjson", "html": "text/html; charset=utf-8"}
_NOTHING_RUNS: Final = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
_FILES: Final = {
    "application/x-ndjson": {"schema": {"type": "string"}, "example": LINE},
    "text/html": {"schema": {"type": "string"}, "example": "<!doctype html>"},
}


@router.get("", operation_id="get_training_debug", responses={200: {"model": DebugSummary}, **_PROBLEMS})
async def get_debug(training_id: UUID, gateway: Deps, owner: Owner) -> dict[str, Any]:
    """Where the training is and why: stages with timings, errors by category, the last error, the recent log.

    `diagnosis` says it in one line: the stage, what is wrong and what to do, or what the training waits for.
    """
    await find_training(gateway, owner.owner, training_id)
    return await ask_as_it_comes(gateway, _path(training_id, "summary"))


@router.get("/timeline", operation_id="get_training_timeline", responses={200: {"model": DebugTimeline}, **_PROBLEMS})
async def get_timeline(training_id: UUID, gateway: Deps, owner: Owner) -> dict[str, Any]:
    """What happened, in the order of time, and how long each stage worked and waited: all that a waterfall needs.

    The `spans` of a stage lie end to end and add up to the times of its summary. Progress is told once for many times.
    """
    await find_training(gateway, owner.owner, training_id)
    return await ask_as_it_comes(gateway, _path(training_id, "timeline"))


@router.get(
    "/export",
    operation_id="export_training_debug",
    response_class=StreamingResponse,
    responses={200: {"content": _FILES}, **_PROBLEMS},
)
async def export_debug(
    training_id: UUID,
    gateway: Deps,
    owner: Owner,
    format: Annotated[
        Literal["ndjson", "html"], Query(description="ndjson for programs, html for a report with pictures")
    ] = "ndjson",
) -> StreamingResponse:
    """Every event of the training with its headers, as NDJSON; or a report for people, as one HTML file."""
    await find_training(gateway, owner.owner, training_id)
    answer = await open_answer(gateway, _path(training_id, "export"), {"format": format})
    headers = {"content-disposition": f'attachment; filename="fluxline-{training_id}.{format}"'}
    if format == "html":
        headers["content-security-policy"] = _NOTHING_RUNS
    return StreamingResponse(_relay(answer), media_type=_MEDIA[format], headers=headers)


def _path(training_id: UUID, what: str) -> str:
    return f"/v1/trainings/{training_id}/{what}"


async def _relay(answer: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for chunk in answer.aiter_bytes():
            yield chunk
    finally:
        await answer.aclose()
