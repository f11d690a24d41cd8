"""Errors that are answers: problem documents (RFC 9457) that say what happened and what to do."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict

from fluxline.contracts.errors import ErrorCategory

PROBLEM_JSON = "application/problem+json"


class FieldError(BaseModel):
    """What is wrong with one field of the request; `field` is its path, like `publish.repo_name`."""

    field: str
    message: str


class Problem(BaseModel):
    """An error by RFC 9457. `category` is one of fluxline's error categories, `hint` says what to do.

    `type` names the kind of problem, `detail` is about this one occurrence, `errors` has the fields that do not fit.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "urn:fluxline:problem:request-not-valid",
                    "title": "Request not valid",
                    "status": 422,
                    "instance": "/v1/trainings",
                    "category": "validation",
                    "hint": "Correct the fields listed in errors and send it again.",
                    "errors": [{"field": "steps", "message": "Input should be less than or equal to 4000"}],
                }
            ]
        }
    )

    type: str
    title: str
    status: int
    detail: str | None = None
    instance: str
    category: ErrorCategory
    hint: str
    errors: list[FieldError] = []


class ApiError(Exception):
    """A request that is answered with a problem document. `detail` is about this one occurrence."""

    def __init__(
        self,
        status: int,
        title: str,
        *,
        category: ErrorCategory,
        hint: str,
        detail: str | None = None,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(title)
        self.status, self.title, self.category, self.hint = status, title, category, hint
        self.detail, self.errors, self.headers = detail, list(errors), dict(headers or {})


class NotFound(ApiError):
    """There is no such thing, or it is somebody else's: the answer is the same."""

    def __init__(self, what: str) -> None:
        """`what` as in "Image"."""
        super().__init__(
            404,
            f"{what} not found",
            category=ErrorCategory.VALIDATION,
            hint="Check the id, and that the API key is its owner's.",
        )


class InvalidFields(ApiError):
    """Fields of the request that do not fit, each with its reason."""

    def __init__(self, *errors: FieldError, hint: str = "Correct the fields listed in errors and send it again."):
        super().__init__(422, "Request not valid", category=ErrorCategory.VALIDATION, hint=hint, errors=errors)


def problem_of(error: ApiError, instance: str) -> Problem:
    """The document that tells it, for a request for the path `instance`."""
    slug = re.sub(r"[^a-z0-9]+", "-", error.title.lower()).strip("-")
    return Problem(
        type=f"urn:fluxline:problem:{slug}",
        title=error.title,
        status=error.status,
        detail=error.detail,
        instance=instance,
        category=error.category,
        hint=error.hint,
        errors=error.errors,
    )


def render(error: ApiError, instance: str) -> Response:
    """The HTTP answer to a request for the path `instance`."""
    content = problem_of(error, instance).model_dump(mode="json", exclude_none=True)
    return JSONResponse(content, error.status, error.headers, media_type=PROBLEM_JSON)


def problems(**statuses: str) -> dict[int | str, dict[str, Any]]:
    """The error answers of a call for its route's `responses`: `problems(_404="There is no such image")`."""
    return {int(status.removeprefix("_")): {"description": text} for status, text in statuses.items()}


def number(value: object) -> object:
    """A field's number as it came; pydantic would take `true` for 1 and "7" for 7, which the document forbids."""
    if type(value) in (bool, str):
        raise ValueError("must be a number")
    return value
