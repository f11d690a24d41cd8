"""Webhooks as the API takes and shows them."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, HttpUrl, field_validator
from pydantic.config import JsonDict

from fluxline_gateway import examples
from fluxline_gateway.webhooks.urls import plain_url

DeliveryStatus = Literal["pending", "delivered", "failed"]
_URL = "https://hooks.example.com/fluxline"
_SECRET: JsonDict = {
    "secret": "whsec_" + "A" * 43 + "=",
    "created_at": examples.CREATED_AT,
    "previous_expires_at": None,
}
_DELIVERY: JsonDict = {
    "id": examples.DELIVERY_ID,
    "training_id": examples.TRAINING_ID,
    "url": _URL,
    "type": "training.completed",
    "status": "delivered",
    "attempts": 1,
    "next_attempt_at": None,
    "created_at": examples.CREATED_AT,
    "ended_at": examples.UPDATED_AT,
}
_ATTEMPT: JsonDict = {
    "number": 1,
    "at": examples.UPDATED_AT,
    "duration_ms": 84,
    "status_code": 200,
    "error": None,
    "answer": "ok",
}
_PAYLOAD: JsonDict = {
    "type": "training.completed",
    "timestamp": examples.CREATED_AT,
    "data": {"id": examples.TRAINING_ID, "status": "completed"},
}


class WebhookSecretOut(BaseModel):
    """The secret that webhooks are signed with; an older one signs along until `previous_expires_at`."""

    model_config = ConfigDict(json_schema_extra={"examples": [_SECRET]})

    secret: str
    created_at: datetime
    previous_expires_at: datetime | None


class WebhookTestIn(BaseModel):
    """Where to send a test: a public https address."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"url": _URL}]})

    url: HttpUrl

    @field_validator("url")
    @classmethod
    def _is_plain(cls, value: HttpUrl) -> HttpUrl:
        plain_url(str(value))
        return value


class DeliveryOut(BaseModel):
    """A webhook that is sent until it is taken; its `id` is the `webhook-id` that the receiver sees every time."""

    model_config = ConfigDict(json_schema_extra={"examples": [_DELIVERY]})

    id: UUID
    training_id: UUID | None = Field(description="whose status it tells; null for a test")
    url: str
    type: str = Field(description="`training.` and the new status, or `webhook.test`")
    status: DeliveryStatus
    attempts: int
    next_attempt_at: datetime | None = Field(description="when it is tried (again) at the earliest, while pending")
    created_at: datetime
    ended_at: datetime | None


class AttemptOut(BaseModel):
    """One attempt: the receiver's status code, or the error for which there is none."""

    model_config = ConfigDict(json_schema_extra={"examples": [_ATTEMPT]})

    number: int
    at: datetime
    duration_ms: int
    status_code: int | None
    error: str | None
    answer: str | None = Field(description="the first 500 characters of what was answered, without secrets")


class DeliveryDetail(DeliveryOut):
    """A delivery with what it says and each attempt at it."""

    model_config = ConfigDict(json_schema_extra={"examples": [{**_DELIVERY, "payload": _PAYLOAD, "log": [_ATTEMPT]}]})

    payload: dict[str, Any]
    log: list[AttemptOut]
