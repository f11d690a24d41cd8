"""`GET /v1/audit`: what keys did, and what was refused."""

from datetime import datetime
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict

from fluxline_gateway import examples
from fluxline_gateway.deps import Deps, Gateway, Owner
from fluxline_gateway.pages import DEFAULT_LIMIT, Cursor, Limit, Page, decode_numbered, page_of

router = APIRouter(prefix="/v1/audit", tags=["account"])

_ENTRIES = "SELECT id, at, owner, key_id, method, path, status, client, trace_id FROM key_audit"
_END = "($2::timestamptz IS NULL OR (at, id) < ($2, $3::bigint)) ORDER BY at DESC, id DESC LIMIT $4"
_OF_OWNER = f"{_ENTRIES} WHERE owner = $1 AND {_END}"
_OF_ALL = f"{_ENTRIES} WHERE $1::text IS NULL AND {_END}"


class AuditEntry(BaseModel):
    """One call: `path` is percent-encoded and without its query, `client` the address it came from.

    `owner` and `key_id` are null where no good key was sent; `key_id` alone where it was another token than a key.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": 1024,
                    "at": examples.UPDATED_AT,
                    "owner": examples.OWNER,
                    "key_id": examples.KEY_ID,
                    "method": "POST",
                    "path": "/v1/trainings",
                    "status": 202,
                    "client": "203.0.113.7",
                    "trace_id": examples.TRACE_ID,
                }
            ]
        }
    )

    id: int
    at: datetime
    owner: str | None
    key_id: UUID | None
    method: str
    path: str
    status: int
    client: str | None
    trace_id: str | None


@router.get("", operation_id="list_audit")
async def list_audit(
    request: Request,
    response: Response,
    gateway: Deps,
    owner: Owner,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Page[AuditEntry]:
    """The owner's calls that were to change something, and those that were refused, newest first.

    A call is shown seconds after it was made, and for 90 days.
    """
    return await audit_page(gateway, owner.owner, request, response, limit, cursor)


async def audit_page(
    gateway: Gateway, owner: str | None, request: Request, response: Response, limit: int, cursor: str | None
) -> Page[AuditEntry]:
    """A page of an owner's calls, or of everybody's."""
    at, after = decode_numbered(cursor) or (None, None)
    rows = await gateway.database.pool.fetch(_OF_OWNER if owner else _OF_ALL, owner, at, after, limit + 1)
    return page_of(request, response, rows, limit, lambda row: AuditEntry(**row), lambda row: (row["at"], row["id"]))
