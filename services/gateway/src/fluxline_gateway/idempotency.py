"""`Idempotency-Key` on calls that create: one key, one thing, however often and however parallel it is sent."""

import hashlib
from typing import Annotated
from uuid import UUID

from fastapi import Header
from pydantic import BaseModel

from fluxline.contracts.errors import ErrorCategory
from fluxline.postgres.pool import Connection
from fluxline_gateway.errors import ApiError

IdempotencyKey = Annotated[
    str | None,
    Header(min_length=1, max_length=255, description="a text unique to this request; sending it again changes nothing"),
]

_CLAIM = """
INSERT INTO idempotency_keys (owner, key, request_sha256, resource_id) VALUES ($1, $2, $3, $4)
ON CONFLICT DO NOTHING RETURNING true
"""
_FIND = "SELECT request_sha256, resource_id FROM idempotency_keys WHERE owner = $1 AND key = $2"


async def claim(
    connection: Connection, owner: str, key: str | None, path: str, body: BaseModel, new_id: UUID
) -> UUID | None:
    """None when the request is new and `new_id` may be made; otherwise the id that the first request made.

    To be called first in the transaction that makes the thing: a parallel request with the same key waits for its end.
    Raises `ApiError` 422 when the key came with another request before.
    """
    if key is None:
        return None
    request_sha256 = hashlib.sha256(f"{path}\n{body.model_dump_json()}".encode()).digest()
    if await connection.fetchval(_CLAIM, owner, key, request_sha256, new_id):
        return None
    known = await connection.fetchrow(_FIND, owner, key)
    if known is None or bytes(known["request_sha256"]) != request_sha256:
        raise ApiError(
            422,
            "Idempotency key used before",
            category=ErrorCategory.VALIDATION,
            hint="Use a new Idempotency-Key for a new request; repeat a request with exactly the same body.",
        )
    found: UUID = known["resource_id"]
    return found
