"""`/v1/webhooks/replicate`: Replicate's word that a training moved. A hint only: the trainer asks for itself."""

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field, ValidationError
from standardwebhooks import Webhook, WebhookVerificationError

from fluxline.contracts.errors import ErrorCategory
from fluxline_gateway.deps import Deps
from fluxline_gateway.errors import ApiError, FieldError, InvalidFields

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"])


class _Body(BaseModel):
    """What is read of it: the rest is asked of the provider itself."""

    id: str = Field(pattern=r"^[A-Za-z0-9_-]{1,100}$")


@router.post("/replicate", operation_id="receive_replicate_webhook")
async def receive_replicate_webhook(request: Request, gateway: Deps) -> dict[str, str]:
    """Verify the signature on the raw body (Standard Webhooks, 300 s tolerance), then wake the trainer."""
    secret = gateway.settings.replicate_webhook_secret
    if secret is None:
        raise ApiError(
            404,
            "Webhooks are not set up",
            category=ErrorCategory.VALIDATION,
            hint="Set GATEWAY_REPLICATE_WEBHOOK_SECRET to the provider's signing secret.",
        )
    body = await request.body()
    try:
        Webhook(secret.get_secret_value()).verify(body, dict(request.headers), json_parse=False)
    except (WebhookVerificationError, ValueError) as error:
        raise _refused() from error
    await gateway.bus.wake("trainer", f"replicate:{_training_of(body)}")
    return {}


def _training_of(body: bytes) -> str:
    """The provider's id of the training that the body is about."""
    try:
        return _Body.model_validate_json(body).id
    except ValidationError as error:
        raise InvalidFields(FieldError(field="id", message="must be the id of a training")) from error


def _refused() -> ApiError:
    return ApiError(
        401,
        "Webhook not verified",
        category=ErrorCategory.AUTHENTICATION,
        hint="Sign the raw body with the shared secret, by Standard Webhooks, less than five minutes ago.",
    )
