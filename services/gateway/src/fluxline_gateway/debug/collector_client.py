"""Asking the debug-collector on behalf of a caller, and saying plainly when it does not answer."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final, TypeVar

import httpx
from pydantic import BaseModel, TypeAdapter, ValidationError

from fluxline.contracts.errors import ErrorCategory
from fluxline.runtime.envelope import current_trace
from fluxline_gateway.deps import HTTP_TIMEOUT_S, Gateway
from fluxline_gateway.errors import ApiError, FieldError, InvalidFields

M = TypeVar("M", bound=BaseModel)
R = TypeVar("R")
ORDER_TIMEOUT_S = 30.0
_OBJECT: Final[TypeAdapter[dict[str, Any]]] = TypeAdapter(dict[str, Any])


async def ask(gateway: Gateway, path: str, model: type[M], **parameters: Any) -> M:
    """The collector's answer at `path` as a model; parameters that are None are left out. Raises as `open_answer`."""
    return await _read(await open_answer(gateway, path, parameters), model.model_validate_json)


async def ask_as_it_comes(gateway: Gateway, path: str) -> dict[str, Any]:
    """The collector's answer, which may say more than this version knows. Raises as `open_answer`."""
    return await _read(await open_answer(gateway, path), _OBJECT.validate_json)


async def order(gateway: Gateway, path: str, model: type[M]) -> M:
    """What the collector answers to a POST that makes it do something, which may take a while. Raises as `ask`."""
    answer = await open_answer(gateway, path, method="POST", timeout_s=ORDER_TIMEOUT_S)
    return await _read(answer, model.model_validate_json)


async def open_answer(
    gateway: Gateway,
    path: str,
    parameters: Mapping[str, Any] | None = None,
    *,
    method: str = "GET",
    timeout_s: float = HTTP_TIMEOUT_S,
) -> httpx.Response:
    """The collector's answer, its body unread and for the caller to close.

    Raises `ApiError`: 404 for what it has not seen, 422 with its reason, 503 when it does not answer well.
    """
    url = f"{str(gateway.settings.collector_url).rstrip('/')}{path}"
    token = gateway.settings.collector_token.get_secret_value()
    given = {name: _plain(value) for name, value in (parameters or {}).items() if value is not None}
    headers = {"Authorization": f"Bearer {token}", **current_trace()}
    request = gateway.http.build_request(method, url, params=given, headers=headers, timeout=timeout_s)
    try:
        answer = await gateway.http.send(request, stream=True)
        if answer.status_code == 200:
            return answer
        raise await _refusal(answer)
    except httpx.HTTPError as error:
        raise unavailable() from error


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


async def _read(answer: httpx.Response, read: Callable[[bytes], R]) -> R:
    try:
        return read(await answer.aread())
    except (httpx.HTTPError, ValidationError) as error:
        raise unavailable() from error
    finally:
        await answer.aclose()


async def _refusal(answer: httpx.Response) -> ApiError:
    try:
        if answer.status_code == 422:
            return _not_valid(await answer.aread())
    finally:
        await answer.aclose()
    if answer.status_code == 404:
        return ApiError(
            404,
            "Nothing collected yet",
            category=ErrorCategory.VALIDATION,
            hint="The debug-collector has not seen this training yet; ask again in a moment.",
        )
    return unavailable()


class _Problem(BaseModel):
    detail: str


def _not_valid(body: bytes) -> ApiError:
    """Its words are about the parameters that were passed on."""
    try:
        detail = _Problem.model_validate_json(body).detail
    except ValidationError:
        return unavailable()
    return InvalidFields(FieldError(field="query", message=detail), hint="Correct the query and ask again.")


def unavailable() -> ApiError:
    """The collector does not answer."""
    return ApiError(
        503,
        "Debug data unavailable",
        category=ErrorCategory.SERVICE_ERROR,
        hint="The debug-collector does not answer; the training itself is not affected. Try again in a moment.",
        headers={"Retry-After": "5"},
    )
