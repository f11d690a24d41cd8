"""`Idempotency-Key` on calls that create: one key, one thing, however often and however parallel it is sent."""

import hashlib
from collections.abc import Awaitable, Callable
from typing import Annotated, NamedTuple

import asyncpg
from fastapi import Header, Request, Response
from pydantic import BaseModel

from fluxline.contracts.errors import ErrorCategory
from fluxline.postgres.pool import Connection, Database
from fluxline_gateway.errors import ApiError

IdempotencyKey = Annotated[
    str | None,
    Header(min_length=1, max_length=255, description="a text unique to this request; sending it again changes nothing"),
]
WAIT_S = 5.0
"""How long a request waits for a parallel one with the same key."""

_CLAIM = """
INSERT INTO idempotency_keys (owner, key, request_sha256) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING RETURNING true
"""
_FIND = "SELECT request_sha256, location, answer FROM idempotency_keys WHERE owner = $1 AND key = $2"
_REMEMBER = "UPDATE idempotency_keys SET location = $3, answer = $4 WHERE owner = $1 AND key = $2"


class Created(NamedTuple):
    """What a request has made: where it is, and how it looked then, as JSON."""

    location: str
    answer: str


async def create_once(
    database: Database,
    owner: str,
    key: str | None,
    request: Request,
    body: BaseModel,
    make: Callable[[Connection], Awaitable[Created]],
    *,
    status: int = 202,
    wait_s: float = WAIT_S,
) -> Response:
    """The answer of `make`, which runs in one transaction with the key's record; the stored one when repeated.

    What `make` raises leaves the key unused. Raises `ApiError` 422 when the key came with another request before,
    409 when that request is still at work after `wait_s`.
    """
    async with database.transaction() as connection:
        if key is None:
            return _response(await make(connection), status)
        request_sha256 = hashlib.sha256(f"{request.url.path}\n{body.model_dump_json()}".encode()).digest()
        if not await _claim(connection, owner, key, request_sha256, wait_s):
            return _response(await _repeated(connection, owner, key, request_sha256), status, repeated=True)
        created = await make(connection)
        await connection.execute(_REMEMBER, owner, key, *created)
    return _response(created, status)


async def _claim(connection: Connection, owner: str, key: str, request_sha256: bytes, wait_s: float) -> bool:
    """False when the key is taken; a parallel transaction that holds it is waited for."""
    try:
        return await connection.fetchval(_CLAIM, owner, key, request_sha256, timeout=wait_s) is not None
    except TimeoutError:
        raise ApiError(
            409,
            "Request in flight",
            category=ErrorCategory.VALIDATION,
            hint="The first request with this Idempotency-Key is still at work: send it again in a moment.",
            headers={"Retry-After": "1"},
        ) from None


async def _repeated(connection: Connection, owner: str, key: str, request_sha256: bytes) -> Created:
    row: asyncpg.Record | None = await connection.fetchrow(_FIND, owner, key)
    if row is None or row["request_sha256"] != request_sha256:
        raise ApiError(
            422,
            "Idempotency key used before",
            category=ErrorCategory.VALIDATION,
            hint="Use a new Idempotency-Key for a new request; repeat a request with exactly the same body.",
        )
    return Created(row["location"], row["answer"])


def _response(created: Created, status: int, *, repeated: bool = False) -> Response:
    headers = {"Location": created.location} | ({"Idempotent-Replayed": "true"} if repeated else {})
    return Response(created.answer, status, headers, media_type="application/json")
