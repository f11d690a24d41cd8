"""`/v1/webhooks/replicate`: Replicate's word that a training moved. A hint only: the trainer asks for itself."""

from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.security import APIKeyHeader
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from standardwebhooks import Webhook, WebhookVerificationError

from fluxline.contracts.errors import ErrorCategory
from fluxline_gateway.deps import Deps
from fluxline_gateway.errors import ApiError, FieldError, InvalidFields, problems

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"])
signature = APIKeyHeader(
    name="webhook-signature",
    scheme_name="provider_signature",
    auto_error=False,
    description="Standard Webhooks: the signature of `webhook-id`, `webhook-timestamp` and the raw body",
)
_EXAMPLE = {"id": "r1abcdefghijklmnopqrstuvwx", "status": "succeeded"}
_SENT: dict[str, Any] = {
    "type": "object",
    "required": ["id"],
    "properties": {"id": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,100}$"}, "status": {"type": "string"}},
    "examples": [_EXAMPLE],
}
_REQUEST = {"requestBody": {"required": True, "content": {"application/json": {"schema": _SENT}}}}


class _Body(BaseModel):
    """What is read of it: the rest is asked of the provider itself."""

    id: str = Field(pattern=r"^[A-Za-z0-9_-]{1,100}$")


class Received(BaseModel):
    """Nothing is to be said."""

    model_config = ConfigDict(json_schema_extra={"examples": [{}]})


@router.post(
    "/replicate",
    operation_id="receive_replicate_webhook",
    dependencies=[Depends(signature)],
    openapi_extra=_REQUEST,
    responses=problems(
        _401="The signature does not fit, or is not of the last five minutes", _404="Webhooks are not set up"
    ),
)
async def receive_replicate_webhook(request: Request, gateway: Deps) -> Received:
    """Take Replicate's word that a training moved.

    Verify the signature on the raw body (Standard Webhooks, 300 s tolerance), then wake the trainer.
    """
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
    return Received()


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
