"""The webhooks of the OpenAPI document: what is sent to a training's `webhook_url`. Nothing here is ever called."""

from typing import Annotated, Any

from fastapi import APIRouter, Header

from fluxline_gateway import examples
from fluxline_gateway.webhooks.bodies import TestWebhook, TrainingWebhook

router = APIRouter(tags=["webhooks"])
_ANSWERS: dict[int | str, dict[str, Any]] = {
    "2XX": {"description": "Taken; the body is not looked at"},
    "410": {"description": "Nobody wants it any more: it is not sent again"},
    "default": {"description": "Not taken: it is sent again later, with the same `webhook-id`"},
}
Id = Annotated[
    str,
    Header(
        alias="webhook-id",
        description="names the delivery, also when it is repeated: take each once",
        examples=[examples.DELIVERY_ID],
    ),
]
Timestamp = Annotated[
    int,
    Header(
        alias="webhook-timestamp",
        description="when it was sent, in seconds since 1970: refuse what is older than five minutes",
        examples=[1_795_600_800],
    ),
]
Signature = Annotated[
    str,
    Header(
        alias="webhook-signature",
        description="`v1,` and the HMAC-SHA256 of id, timestamp and raw body, joined by dots, in base64; after a "
        "rotation of the secret there are two, with a space between",
        examples=["v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4="],
    ),
]


@router.post("training.{status}", operation_id="on_training", responses=_ANSWERS)
def on_training(body: TrainingWebhook, webhook_id: Id, webhook_timestamp: Timestamp, signature: Signature) -> None:
    """A training's status has changed. There is one delivery for each change of it."""


@router.post("webhook.test", operation_id="on_webhook_test", responses=_ANSWERS)
def on_webhook_test(body: TestWebhook, webhook_id: Id, webhook_timestamp: Timestamp, signature: Signature) -> None:
    """Somebody has asked for a test, with POST /v1/webhooks/test."""
