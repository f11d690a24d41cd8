"""`/v1/trainings/{id}/debug`: the debug-collector's summary and export, for the training's owner."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import httpx
from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from pydantic import TypeAdapter, ValidationError

from fluxline.contracts.errors import ErrorCategory
from fluxline_gateway.debug.views import LINE, DebugSummary
from fluxline_gateway.deps import Deps, Gateway, Owner
from fluxline_gateway.errors import ApiError, problems
from fluxline_gateway.trainings.routes import find_training

router = APIRouter(prefix="/v1/trainings/{training_id}/debug", tags=["debug"])
_SUMMARY: TypeAdapter[dict[str, Any]] = TypeAdapter(dict[str, Any])
_PROBLEMS = problems(
    _404="There is no such training, or nothing has been collected of it", _503="The debug-collector does not answer"
)


@router.get("", operation_id="get_training_debug", responses={200: {"model": DebugSummary}, **_PROBLEMS})
async def get_debug(training_id: UUID, gateway: Deps, owner: Owner) -> dict[str, Any]:
    """Where the training is and why: stages with timings, errors by category, the last error, the recent log."""
    await find_training(gateway, owner.owner, training_id)
    answer = await _ask(gateway, training_id, "summary")
    try:
        return _SUMMARY.validate_json(await answer.aread())
    except (httpx.HTTPError, ValidationError) as error:
        raise _unavailable() from error
    finally:
        await answer.aclose()


@router.get(
    "/export",
    operation_id="export_training_debug",
    response_class=StreamingResponse,
    responses={
        200: {"content": {"application/x-ndjson": {"schema": {"type": "string"}, "example": LINE}}},
        **_PROBLEMS,
    },
)
async def export_debug(training_id: UUID, gateway: Deps, owner: Owner) -> StreamingResponse:
    """Every event of the training with its headers, as NDJSON."""
    await find_training(gateway, owner.owner, training_id)
    answer = await _ask(gateway, training_id, "export")
    headers = {"content-disposition": f'attachment; filename="fluxline-{training_id}.ndjson"'}
    return StreamingResponse(_relay(answer), media_type="application/x-ndjson", headers=headers)


async def _ask(gateway: Gateway, training_id: UUID, what: str) -> httpx.Response:
    """The collector's answer, its body unread; raises `ApiError` 503 when it does not answer well."""
    url = f"{str(gateway.settings.collector_url).rstrip('/')}/v1/trainings/{training_id}/{what}"
    token = gateway.settings.collector_token.get_secret_value()
    request = gateway.http.build_request("GET", url, headers={"Authorization": f"Bearer {token}"})
    try:
        answer = await gateway.http.send(request, stream=True)
    except httpx.HTTPError as error:
        raise _unavailable() from error
    if answer.status_code == 200:
        return answer
    await answer.aclose()
    if answer.status_code == 404:
        raise ApiError(
            404,
            "Nothing collected yet",
            category=ErrorCategory.VALIDATION,
            hint="The debug-collector has not seen this training yet; ask again in a moment.",
        )
    raise _unavailable()


async def _relay(answer: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for chunk in answer.aiter_bytes():
            yield chunk
    finally:
        await answer.aclose()


def _unavailable() -> ApiError:
    return ApiError(
        503,
        "Debug data unavailable",
        category=ErrorCategory.SERVICE_ERROR,
        hint="The debug-collector does not answer; the training itself is not affected. Try again in a moment.",
        headers={"Retry-After": "5"},
    )
