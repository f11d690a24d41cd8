"""`/v1/admin`: every owner's limits, keys and calls, for keys with the scope `admin` (see `scopes`)."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from fluxline.contracts.ids import OwnerName
from fluxline_gateway.deps import Deps, Gateway, Owner
from fluxline_gateway.errors import NotFound, problems
from fluxline_gateway.idempotency import IdempotencyKey
from fluxline_gateway.identity import keys, owners
from fluxline_gateway.identity.api_keys import NO_SUCH_KEY, OF_MAKING, keys_page, revoke
from fluxline_gateway.identity.audit_views import AuditEntry, audit_page
from fluxline_gateway.identity.key_views import KeyIn, KeyOut, NewKeyOut
from fluxline_gateway.identity.keys import KeyRecord
from fluxline_gateway.identity.new_keys import make_key
from fluxline_gateway.identity.owners import OwnerChange, OwnerOut
from fluxline_gateway.identity.scopes import ADMIN_PATH
from fluxline_gateway.pages import DEFAULT_LIMIT, Cursor, Limit, Page, decode_name, encode_name, link_next

router = APIRouter(prefix=ADMIN_PATH, tags=["admin"])
NO_SUCH_OWNER = problems(_404="There is no such owner")


@router.get("/owners", operation_id="list_owners")
async def list_owners(
    request: Request, response: Response, gateway: Deps, _: Owner, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> Page[OwnerOut]:
    """All owners, by name."""
    async with gateway.database.transaction() as connection:
        found = await owners.names(connection, decode_name(cursor), limit + 1)
        items = [await owners.facts_of(connection, name, gateway.settings) for name in found[:limit]]
    more = encode_name(found[limit - 1]) if len(found) > limit else None
    link_next(request, response, more)
    return Page(items=items, next_cursor=more)


@router.get("/owners/{owner}", operation_id="get_owner", responses=NO_SUCH_OWNER)
async def get_owner(owner: OwnerName, gateway: Deps, _: Owner) -> OwnerOut:
    """One owner: limits, spending, and how much there is of everything."""
    await _require(gateway, owner)
    return await owners.facts_of(gateway.database.pool, owner, gateway.settings)


@router.patch("/owners/{owner}", operation_id="update_owner", responses=NO_SUCH_OWNER)
async def update_owner(owner: OwnerName, body: OwnerChange, gateway: Deps, _: Owner) -> OwnerOut:
    """Change an owner's limits. What is left out stays as it is, null is the gateway's default."""
    await _require(gateway, owner)
    async with gateway.database.transaction() as connection:
        await owners.change(connection, owner, body)
        return await owners.facts_of(connection, owner, gateway.settings)


@router.get("/owners/{owner}/keys", operation_id="list_keys_of_owner", responses=NO_SUCH_OWNER)
async def list_keys_of_owner(
    owner: OwnerName,
    request: Request,
    response: Response,
    gateway: Deps,
    _: Owner,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Page[KeyOut]:
    """An owner's API keys, newest first, those that have ended too."""
    await _require(gateway, owner)
    return await keys_page(gateway, owner, request, response, limit, cursor)


@router.post(
    "/owners/{owner}/keys",
    status_code=201,
    operation_id="create_key_of_owner",
    response_model=NewKeyOut,
    responses=OF_MAKING,
)
async def create_key_of_owner(
    owner: OwnerName,
    request: Request,
    body: KeyIn,
    gateway: Deps,
    caller: Owner,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Make an API key for an owner, which is shown only in this answer. A new name makes a new owner.

    It ends no later than the calling key. A repeated request is answered as that of `POST /v1/keys`.
    """
    return await make_key(gateway, caller, owner, request, body, idempotency_key)


@router.get("/keys/{key_id}", operation_id="get_key_of_owner", responses=NO_SUCH_KEY)
async def get_key_of_owner(key_id: UUID, gateway: Deps, _: Owner) -> KeyOut:
    """Any owner's API key: its facts, also after it has ended."""
    return KeyOut.model_validate(await _any_key(gateway, key_id))


@router.delete("/keys/{key_id}", status_code=204, operation_id="revoke_key_of_owner", responses=NO_SUCH_KEY)
async def revoke_key_of_owner(key_id: UUID, gateway: Deps, _: Owner) -> None:
    """Revoke any owner's API key, within ten seconds everywhere. Repeating this changes nothing."""
    await revoke(gateway, await _any_key(gateway, key_id))


@router.get("/audit", operation_id="list_audit_of_owners")
async def list_audit_of_owners(
    request: Request,
    response: Response,
    gateway: Deps,
    _: Owner,
    owner: Annotated[OwnerName | None, Query(description="only the calls of this owner")] = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Page[AuditEntry]:
    """All owners' calls that were to change something, and all that were refused, newest first.

    Refused calls without a good key belong to no owner; of a flood of these, not all are recorded.
    """
    return await audit_page(gateway, owner, request, response, limit, cursor)


async def _any_key(gateway: Gateway, key_id: UUID) -> KeyRecord:
    """Raises `NotFound`."""
    record = await keys.find(gateway.database.pool, key_id)
    if record is None:
        raise NotFound("Key")
    return record


async def _require(gateway: Gateway, owner: str) -> None:
    if not await owners.exists(gateway.database.pool, owner):
        raise NotFound("Owner")
