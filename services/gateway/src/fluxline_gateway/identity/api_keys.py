"""`/v1/keys`: the owner's API keys."""

from uuid import UUID

from fastapi import APIRouter, Request, Response

from fluxline_gateway.deps import Deps, Gateway, Owner
from fluxline_gateway.errors import NotFound, problems
from fluxline_gateway.idempotency import IdempotencyKey
from fluxline_gateway.identity import keys
from fluxline_gateway.identity.key_views import KeyIn, KeyOut, NewKeyOut
from fluxline_gateway.identity.keys import KeyRecord, Principal
from fluxline_gateway.identity.new_keys import make_key
from fluxline_gateway.pages import DEFAULT_LIMIT, Cursor, Limit, Page, decode_cursor, page_of

router = APIRouter(prefix="/v1/keys", tags=["account"])
OF_MAKING = problems(
    _403="The calling key lacks the scope `write`, or one that the new key is to have",
    _409="A request with this Idempotency-Key is at work, or has made its key, which is shown only once",
    _422="The request does not fit, or the key is to end later than the calling one",
)
NO_SUCH_KEY = problems(_404="There is no such key")


@router.get("", operation_id="list_keys")
async def list_keys(
    request: Request,
    response: Response,
    gateway: Deps,
    owner: Owner,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Page[KeyOut]:
    """The owner's API keys, newest first, those that have ended too; the keys themselves are not stored."""
    return await keys_page(gateway, owner.owner, request, response, limit, cursor)


@router.post("", status_code=201, operation_id="create_key", response_model=NewKeyOut, responses=OF_MAKING)
async def create_key(
    request: Request, body: KeyIn, gateway: Deps, owner: Owner, idempotency_key: IdempotencyKey = None
) -> Response:
    """Make an API key, which is shown only in this answer.

    It can do at most what the calling key can, and ends no later. With an `Idempotency-Key` only one key is made,
    but a repeated request cannot show it again: it is answered 409 with the key's id.
    """
    return await make_key(gateway, owner, owner.owner, request, body, idempotency_key)


@router.get("/{key_id}", operation_id="get_key", responses=NO_SUCH_KEY)
async def get_key(key_id: UUID, gateway: Deps, owner: Owner) -> KeyOut:
    """One API key's facts, also after it has ended; the key itself is not stored."""
    return KeyOut.model_validate(await _own_key(gateway, owner, key_id))


@router.delete("/{key_id}", status_code=204, operation_id="revoke_key", responses=NO_SUCH_KEY)
async def revoke_key(key_id: UUID, gateway: Deps, owner: Owner) -> None:
    """Revoke an API key, within ten seconds everywhere; repeating this changes nothing.

    It may be the calling one, which needs no scope for that: whoever finds a key can end it. Live streams that the key
    has opened end, too, within twenty seconds.
    """
    await revoke(gateway, await _own_key(gateway, owner, key_id))


async def _own_key(gateway: Gateway, owner: Principal, key_id: UUID) -> KeyRecord:
    """Raises `NotFound`."""
    record = await keys.find(gateway.database.pool, key_id)
    if record is None or record.owner != owner.owner:
        raise NotFound("Key")
    return record


async def keys_page(
    gateway: Gateway, owner: str, request: Request, response: Response, limit: int, cursor: str | None
) -> Page[KeyOut]:
    """A page of an owner's keys."""
    found = await keys.page(gateway.database.pool, owner, decode_cursor(cursor), limit + 1)
    return page_of(
        request, response, found, limit, KeyOut.model_validate, lambda record: (record.created_at, record.id)
    )


async def revoke(gateway: Gateway, record: KeyRecord) -> None:
    """End the key; in this process at once, with the streams that it has opened."""
    await keys.revoke(gateway.database.pool, record.id)
    gateway.keys.forget(record.id)
    gateway.live.end_streams_if(lambda reader: reader.key_id == record.id)
