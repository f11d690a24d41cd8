"""`/v1/webhooks`: what was sent, what came of it, once more please; and the secret it is signed with."""

import json
from datetime import UTC, datetime
from functools import partial
from typing import Annotated
from uuid import UUID, uuid4

import asyncpg
from fastapi import APIRouter, Depends, Query, Request, Response

from fluxline.postgres.pool import Connection
from fluxline_gateway.deps import Deps, Owner
from fluxline_gateway.errors import NotFound, problems
from fluxline_gateway.idempotency import Created, IdempotencyKey, create_once
from fluxline_gateway.identity import scopes
from fluxline_gateway.openapi.components import NOT_STORED
from fluxline_gateway.pages import DEFAULT_LIMIT, Cursor, Limit, Page, decode_cursor, page_of, row_position
from fluxline_gateway.webhooks import endpoint_secrets
from fluxline_gateway.webhooks.bodies import TestWebhook
from fluxline_gateway.webhooks.deliveries import VISIBLE, add
from fluxline_gateway.webhooks.schedule import TEST
from fluxline_gateway.webhooks.urls import require_sendable
from fluxline_gateway.webhooks.views import (
    AttemptOut,
    DeliveryDetail,
    DeliveryOut,
    DeliveryStatus,
    WebhookSecretOut,
    WebhookTestIn,
)

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"])

_PAGE = f"""
SELECT * FROM webhook_deliveries
WHERE owner = $1 AND {VISIBLE}
  AND ($2::timestamptz IS NULL OR (created_at, id) < ($2, $3::uuid))
  AND ($4::uuid IS NULL OR training_id = $4)
  AND ($5::text IS NULL OR status = $5)
ORDER BY created_at DESC, id DESC LIMIT $6
"""  # noqa: S608  # a constant condition
_FIND = f"SELECT * FROM webhook_deliveries WHERE owner = $1 AND id = $2 AND {VISIBLE}"  # noqa: S608  # as above
_LOG = "SELECT * FROM webhook_attempts WHERE delivery_id = $1 ORDER BY number"
_AGAIN = f"""
UPDATE webhook_deliveries SET status = 'pending', step = 0, next_attempt_at = now(), ended_at = NULL
WHERE owner = $1 AND id = $2 AND {VISIBLE} RETURNING *
"""  # noqa: S608  # as above


async def _may_write(owner: Owner) -> None:
    """The secret makes webhooks believed: to read it is more than to read."""
    scopes.require(owner, "write")


@router.get(
    "/secret", operation_id="get_webhook_secret", dependencies=[Depends(_may_write)], responses={200: NOT_STORED}
)
async def get_webhook_secret(response: Response, gateway: Deps, owner: Owner) -> WebhookSecretOut:
    """The secret that your webhooks are signed with. Needs the scope `write`; it is made when it is first asked for.

    Verify with it each request that arrives, as Standard Webhooks says: https://www.standardwebhooks.com.
    """
    response.headers["Cache-Control"] = "no-store"
    secret = await endpoint_secrets.in_use(gateway.database.pool, owner.owner)
    return WebhookSecretOut.model_validate(secret, from_attributes=True)


@router.post("/secret/rotate", operation_id="rotate_webhook_secret")
async def rotate_webhook_secret(response: Response, gateway: Deps, owner: Owner) -> WebhookSecretOut:
    """Replace the secret. For 24 hours both sign, the new one first, so that receivers can change without a loss."""
    response.headers["Cache-Control"] = "no-store"
    async with gateway.database.transaction() as connection:
        secret = await endpoint_secrets.rotate(connection, owner.owner)
    return WebhookSecretOut.model_validate(secret, from_attributes=True)


@router.get("/deliveries", operation_id="list_webhook_deliveries", responses=problems(_422="A cursor of another list"))
async def list_webhook_deliveries(
    request: Request,
    response: Response,
    gateway: Deps,
    owner: Owner,
    training_id: Annotated[UUID | None, Query(description="only those of this training")] = None,
    status: Annotated[DeliveryStatus | None, Query(description="only those of this status")] = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Page[DeliveryOut]:
    """What was sent or is to be sent, newest first. Deliveries that have ended are kept for 30 days."""
    created_at, after = decode_cursor(cursor) or (None, None)
    arguments = (owner.owner, created_at, after, training_id, status, limit + 1)
    rows = await gateway.database.pool.fetch(_PAGE, *arguments)
    return page_of(request, response, rows, limit, _delivery_out, row_position)


@router.get(
    "/deliveries/{delivery_id}",
    operation_id="get_webhook_delivery",
    responses=problems(_404="There is no such delivery, or its training was deleted"),
)
async def get_webhook_delivery(delivery_id: UUID, gateway: Deps, owner: Owner) -> DeliveryDetail:
    """One delivery with what it says and each attempt at it."""
    async with gateway.database.transaction() as connection:
        row = await connection.fetchrow(_FIND, owner.owner, delivery_id)
        if row is None:
            raise NotFound("Delivery")
        attempts = await connection.fetch(_LOG, delivery_id)
    shown = _delivery_out(row).model_dump()
    return DeliveryDetail(
        **shown,
        payload=json.loads(row["payload"]),
        log=[AttemptOut(**{name: attempt[name] for name in AttemptOut.model_fields}) for attempt in attempts],
    )


@router.post(
    "/deliveries/{delivery_id}/redeliver",
    status_code=202,
    operation_id="redeliver_webhook",
    responses=problems(_404="There is no such delivery, or its training was deleted"),
)
async def redeliver_webhook(delivery_id: UUID, gateway: Deps, owner: Owner) -> DeliveryOut:
    """Send a delivery again, now, with the same body and `webhook-id`, whatever became of it before.

    Its schedule of attempts starts anew; repeating this changes nothing while it is pending.
    """
    row = await gateway.database.pool.fetchrow(_AGAIN, owner.owner, delivery_id)
    if row is None:
        raise NotFound("Delivery")
    return _delivery_out(row)


@router.post(
    "/test",
    status_code=202,
    operation_id="send_test_webhook",
    response_model=DeliveryOut,
    responses=problems(_422="Webhooks may not be sent to this address"),
)
async def send_test_webhook(
    request: Request, body: WebhookTestIn, gateway: Deps, owner: Owner, idempotency_key: IdempotencyKey = None
) -> Response:
    """Send a webhook of the type `webhook.test`, once: the delivery shows what the receiver answered."""
    require_sendable(str(body.url), gateway.settings.webhook_origins, "url")
    make = partial(_add_test, owner.owner, str(body.url))
    return await create_once(gateway.database, owner.owner, idempotency_key, request, body, make)


async def _add_test(owner: str, url: str, connection: Connection) -> Created:
    payload = TestWebhook(timestamp=datetime.now(UTC)).model_dump_json()
    row = await add(connection, uuid4(), owner, url, TEST, payload)
    assert row is not None  # noqa: S101  # the id is new
    return Created(f"/v1/webhooks/deliveries/{row['id']}", _delivery_out(row).model_dump_json())


def _delivery_out(row: asyncpg.Record) -> DeliveryOut:
    return DeliveryOut(**{name: row[name] for name in DeliveryOut.model_fields})
