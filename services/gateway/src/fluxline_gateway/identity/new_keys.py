"""Making API keys by the API: nobody gives more than they have, and a key is shown once."""

import json
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from fastapi import Request, Response

from fluxline.contracts.errors import ErrorCategory
from fluxline.postgres.pool import Connection
from fluxline_gateway.deps import Gateway, unauthorized
from fluxline_gateway.errors import ApiError, FieldError, InvalidFields
from fluxline_gateway.idempotency import Created, create_once
from fluxline_gateway.identity import keys
from fluxline_gateway.identity.key_views import KeyIn, KeyOut, NewKeyOut
from fluxline_gateway.identity.keys import Principal
from fluxline_gateway.identity.scopes import ADMIN_PATH, SCOPES, Scope, scope_missing

MAX_LIFETIME: Final = timedelta(days=36_525)


class Grant(NamedTuple):
    """What a new key may do, and until when."""

    scopes: list[Scope]
    expires_at: datetime | None


def grant(caller: Principal, wanted: KeyIn, now: datetime) -> Grant:
    """What the caller can give.

    Raises `ApiError` 403 for a scope that the caller lacks, 422 for a time that has passed, that is absurdly late, or
    later than the end of the caller's own key. A signed-in person's token lasts minutes: the keys made with it outlast
    it.
    """
    asked = set(wanted.scopes or [scope for scope in ("read", "write") if caller.may(scope)])
    scopes = [scope for scope in SCOPES if scope in asked]
    for scope in scopes:
        if not caller.may(scope):
            raise scope_missing(scope, "A key cannot be made that may do more than the one it is made with.")
    own_end = caller.expires_at if caller.key_id else None
    expires_at = wanted.expires_at or own_end
    if expires_at is None:
        return Grant(scopes, None)
    if expires_at <= now:
        raise _not_possible("must be in the future")
    if own_end and expires_at > own_end:
        raise _not_possible(f"must not be later than the end of the key that asks, {own_end.isoformat()}")
    if expires_at > now + MAX_LIFETIME:
        raise _not_possible("must be within 100 years; leave it out for a key that does not end")
    return Grant(scopes, expires_at)


async def make_key(
    gateway: Gateway, caller: Principal, owner: str, request: Request, wanted: KeyIn, idempotency_key: str | None
) -> Response:
    """The answer with the new key of `owner`; what is stored for repeated requests does not hold the key."""
    granted = grant(caller, wanted, datetime.now(UTC))
    shown: NewKeyOut | None = None

    async def make(connection: Connection) -> Created:
        nonlocal shown
        if caller.key_id and not await keys.hold(connection, caller.key_id):
            raise unauthorized("API key not valid")
        scopes, expires_at = granted
        key, key_id = await keys.create(connection, owner, name=wanted.name, scopes=scopes, expires_at=expires_at)
        record = KeyOut.model_validate(await keys.find(connection, key_id))
        shown = NewKeyOut(**record.model_dump(), key=key)
        place = "/v1/keys" if owner == caller.owner else f"{ADMIN_PATH}/keys"  # where the caller can see it
        return Created(f"{place}/{key_id}", record.model_dump_json())

    answer = await create_once(gateway.database, caller.owner, idempotency_key, request, wanted, make, status=201)
    if shown is None:
        raise _shown_before(json.loads(bytes(answer.body))["id"])
    headers = {"Location": answer.headers["Location"], "Cache-Control": "no-store"}
    return Response(shown.model_dump_json(), 201, headers, media_type="application/json")


def _not_possible(message: str) -> ApiError:
    return InvalidFields(FieldError(field="expires_at", message=message))


def _shown_before(key_id: str) -> ApiError:
    return ApiError(
        409,
        "Key made and shown before",
        category=ErrorCategory.VALIDATION,
        hint="If its answer was lost, revoke that key, and make another with a new Idempotency-Key.",
        detail=f"The first request with this Idempotency-Key made the key {key_id}; a key is shown only once.",
    )
