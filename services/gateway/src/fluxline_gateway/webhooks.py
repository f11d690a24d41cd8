"""`/v1/webhooks/replicate`: Replicate's word that a training moved. A hint only: the trainer asks for itself."""

import json

from fastapi import APIRouter, Request, Response
from standardwebhooks import Webhook, WebhookVerificationError

from fluxline.contracts.errors import ErrorCategory
from fluxline_gateway.deps import Deps
from fluxline_gateway.errors import ApiError

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"])


@router.post("/replicate", operation_id="receive_replicate_webhook", status_code=204)
async def receive_replicate_webhook(request: Request, gateway: Deps) -> Response:
    """Verify the signature on the raw body (Standard Webhooks, 300 s tolerance), then wake the trainer."""
    secret = gateway.settings.replicate_webhook_secret
    if secret is None:
        raise ApiError(
            404,
            "Webhooks are not set up",
            category=ErrorCategory.VALIDATION,
            hint="Set GATEWAY_REPLICATE_WEBHOOK_SECRET to the provider's signing secret.",
        )
    try:
        body = await request.body()
        Webhook(secret.get_secret_value()).verify(body, dict(request.headers))
        external_id = str(json.loads(body)["id"])
    except (WebhookVerificationError, ValueError, KeyError, TypeError) as error:
        raise _refused() from error
    await gateway.bus.wake("trainer", f"replicate:{external_id}"[:200])
    return Response(status_code=204)


def _refused() -> ApiError:
    return ApiError(
        401,
        "Webhook not verified",
        category=ErrorCategory.AUTHENTICATION,
        hint="Sign the raw body with the shared secret, by Standard Webhooks, less than five minutes ago.",
    )
