"""Replicate's error answers: `application/problem+json` with title, detail and status."""

import json
from typing import Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse


class Problem(Exception):
    """A refusal as Replicate words it."""

    def __init__(self, status: int, title: str, detail: str, **extra: Any) -> None:
        super().__init__(f"{status} {title}: {detail}")
        self.status = status
        self.body = {"title": title, "detail": detail, "status": status, **extra}
        retry_after = extra.get("retry_after")
        self.headers = {} if retry_after is None else {"Retry-After": str(retry_after)}


async def answer(_: Request, problem: Problem) -> Response:
    """Exception handler for `Problem`."""
    return JSONResponse(problem.body, problem.status, headers=problem.headers, media_type="application/problem+json")


def unauthenticated(given: bool) -> Problem:
    """401, worded by whether a token was given at all."""
    word = "a valid" if given else "an"
    return Problem(401, "Unauthenticated", f"You did not pass {word} authentication token")


def not_found() -> Problem:
    """404 for a model, training or prediction that does not exist."""
    return Problem(404, "Not found", "The requested resource could not be found.")


def insufficient_credit() -> Problem:
    """402: the account has to be topped up."""
    detail = (
        "You have insufficient credit to run this model. Go to https://replicate.com/account/billing#billing"
        " to purchase credit. Once you purchase credit, please wait a few minutes before trying again."
    )
    return Problem(402, "Insufficient credit", detail)


def throttled(seconds: int) -> Problem:
    """429 with the seconds to wait, in the body and in `Retry-After`."""
    detail = f"Request was throttled. Your rate limit resets in ~{seconds}s."
    return Problem(429, "Too many requests", detail, retry_after=seconds)


def invalid(fields: list[tuple[str, str, str]]) -> Problem:
    """422 for (rule, field, description) triples, for example `number_lte`, `input.steps`, `Must be ...`."""
    detail = "".join(f"- {field}: {description}\n" for _, field, description in fields)
    named = [{"type": rule, "field": field, "description": text} for rule, field, text in fields]
    return Problem(422, "Input validation failed", detail, invalid_fields=named)


async def json_body(request: Request) -> dict[str, Any]:
    """The request's JSON object; anything else is a 400."""
    try:
        body = json.loads(await request.body(), parse_constant=_refuse_constant)
    except ValueError as error:
        raise Problem(400, "Bad request", "Malformed JSON in request body") from error
    if not isinstance(body, dict):
        raise Problem(400, "Bad request", "The request body must be a JSON object")
    return body


def _refuse_constant(name: str) -> None:
    """NaN and infinities are not JSON, although Python reads them."""
    raise ValueError(name)
