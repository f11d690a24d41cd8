"""Problem documents in the OpenAPI document: what each error looks like when it is the answer."""

from collections.abc import Mapping
from typing import Final

from fluxline.contracts.errors import ErrorCategory
from fluxline_gateway import examples
from fluxline_gateway.errors import PROBLEM_JSON, ApiError, FieldError, InvalidFields, NotFound, problem_of
from fluxline_gateway.openapi.names import SCHEMAS, Document

_PROBLEMS: Final[Mapping[int, ApiError]] = {
    error.status: error
    for error in (
        ApiError(
            400,
            "Bad Request",
            category=ErrorCategory.VALIDATION,
            hint="Look at the request's syntax: see /docs for what this call takes.",
        ),
        ApiError(
            401,
            "API key not valid",
            category=ErrorCategory.AUTHENTICATION,
            hint="Send the header 'Authorization: Bearer fl_...'; make a key with `fluxline keys create --owner NAME`.",
        ),
        ApiError(
            402,
            "Spend cap reached",
            category=ErrorCategory.BILLING,
            hint="Wait for the new month, or ask an administrator to raise the cap.",
        ),
        ApiError(
            403,
            "Scope missing",
            category=ErrorCategory.AUTHENTICATION,
            hint="Use a key that has the scope named in the WWW-Authenticate header.",
        ),
        NotFound("Thing"),
        ApiError(
            408,
            "Request Timeout",
            category=ErrorCategory.VALIDATION,
            hint="Send it again, on a steadier connection.",
        ),
        ApiError(
            409,
            "Request in flight",
            category=ErrorCategory.VALIDATION,
            hint="The first request with this Idempotency-Key is still at work: send it again in a moment.",
        ),
        ApiError(
            413,
            "Content Too Large",
            category=ErrorCategory.VALIDATION,
            hint="Send less at once: the limits are at GET /v1/limits.",
        ),
        ApiError(
            415,
            "Unsupported media type",
            category=ErrorCategory.VALIDATION,
            hint="Send multipart/form-data, with the photos in the field `files`.",
        ),
        ApiError(
            416,
            "Range not satisfiable",
            category=ErrorCategory.VALIDATION,
            hint="Ask for bytes within the file's 3812604, or for all of it without a Range.",
        ),
        InvalidFields(FieldError(field="limit", message="Input should be less than or equal to 100")),
        ApiError(
            429,
            "Too many requests",
            category=ErrorCategory.RATE_LIMIT,
            hint="Wait as long as Retry-After says, and send requests more slowly.",
        ),
        ApiError(
            500,
            "Internal error",
            category=ErrorCategory.INTERNAL,
            hint="This is a bug in fluxline: please report it with the trace id in the traceparent header.",
        ),
        ApiError(
            503,
            "Service Unavailable",
            category=ErrorCategory.SERVICE_ERROR,
            hint="PostgreSQL does not answer; nothing was changed. Try again in a moment.",
        ),
    )
}
"""What each status looks like, unless the call has a text of its own."""
_OF_CALLS: Final[Mapping[tuple[str, int], ApiError]] = {
    (operation_id, status): ApiError(status, title, category=ErrorCategory.VALIDATION, hint=hint, detail=detail)
    for operation_id, status, title, hint, detail in (
        (
            "upload_images",
            400,
            "Malformed upload",
            "Send multipart/form-data as RFC 7578 says; HTTP libraries do it for you.",
            None,
        ),
        ("delete_image", 409, "Image in use", "Wait until the training that uses it has ended, then delete it.", None),
        (
            "cancel_training",
            409,
            "Training not canceled",
            "It has stopped by itself: retry or delete it.",
            "The training is failed.",
        ),
        (
            "retry_training",
            409,
            "Training not retried",
            "It has everything it was asked for; make a new training for another model.",
            "The training is completed.",
        ),
        (
            "complete_image_upload",
            409,
            "Upload being completed",
            "Another request is completing this upload: send it again in a moment.",
            None,
        ),
    )
}
"""Of one call: what is in its way where that is not an Idempotency-Key in flight, and what its body has to be."""


def problem_answer(status: int, description: str, path: str = "/v1/trainings", operation_id: str = "") -> Document:
    """A problem document as an answer, with an example for a request for `path`."""
    error = (
        _OF_CALLS.get((operation_id, status))
        or _PROBLEMS.get(status)
        or ApiError(status, description, category=ErrorCategory.VALIDATION, hint="See /docs for what this call takes.")
    )
    if status == 404 and "{" in path:
        error = NotFound(path.rpartition("{")[2].partition("}")[0].removesuffix("_id").capitalize())
    place = path
    for name, value in examples.PARAMETERS.items():
        place = place.replace(f"{{{name}}}", str(value))
    example = problem_of(error, place).model_dump(mode="json", exclude_none=True)
    media = {"schema": {"$ref": f"{SCHEMAS}Problem"}, "examples": {"example": {"value": example}}}
    return {"description": description, "content": {PROBLEM_JSON: media}}
