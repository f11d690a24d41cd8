"""What a webhook says (Standard Webhooks): a type, when it happened, and the thing as it was then."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from fluxline_gateway import examples
from fluxline_gateway.trainings.views import TrainingOut

TrainingWebhookType = Literal[
    "training.requested",
    "training.zipping",
    "training.training",
    "training.publishing",
    "training.completed",
    "training.failed",
    "training.canceling",
    "training.canceled",
]


class TrainingWebhook(BaseModel):
    """A training's status has changed; `data` is the training as it was at that moment."""

    type: TrainingWebhookType = Field(examples=["training.completed"])
    timestamp: datetime = Field(examples=[examples.UPDATED_AT])
    data: TrainingOut


class Greeting(BaseModel):
    """What a test webhook carries."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"message": "Webhooks from fluxline arrive here."}]})

    message: str = "Webhooks from fluxline arrive here."


class TestWebhook(BaseModel):
    """A webhook that was asked for with POST /v1/webhooks/test."""

    __test__ = False
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "webhook.test",
                    "timestamp": examples.UPDATED_AT,
                    "data": {"message": "Webhooks from fluxline arrive here."},
                }
            ]
        }
    )

    type: Literal["webhook.test"] = "webhook.test"
    timestamp: datetime
    data: Greeting = Greeting()
