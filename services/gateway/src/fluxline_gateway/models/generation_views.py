"""A generation as the API takes it and shows it."""

import json
from datetime import datetime
from typing import Final, Literal
from uuid import UUID

import asyncpg
from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic.config import JsonDict

from fluxline.contracts import limits
from fluxline.contracts.errors import ErrorCategory
from fluxline.contracts.events import GenerationParameters, ProviderRefusal
from fluxline.contracts.job import Cost
from fluxline.storage import Storage
from fluxline_gateway import examples
from fluxline_gateway.errors import number
from fluxline_gateway.images.links import image_link

GenerationStatus = Literal["requested", "running", "succeeded", "failed", "canceled"]
_PARAMETERS_EXAMPLE: Final[JsonDict] = {
    "prompt": "a portrait of ADATOK on the moon",
    "aspect_ratio": "1:1",
    "num_outputs": 1,
    "lora_scale": 1.0,
    "num_inference_steps": 28,
    "guidance_scale": 3.5,
    "seed": 1815,
    "output_format": "webp",
}
_USED_EXAMPLE: Final[JsonDict] = {
    "aspect_ratio": "1:1",
    "num_outputs": 1,
    "lora_scale": 1.0,
    "num_inference_steps": 28,
    "guidance_scale": 3.5,
    "seed": 1815,
    "output_format": "webp",
}
_REFUSAL_EXAMPLE: Final[JsonDict] = {
    "provider": "replicate",
    "category": "billing",
    "message": "The provider's account has no credit",
}
_IMAGE_EXAMPLE: Final[JsonDict] = {
    "url": f"https://storage.example.com/generations/{examples.GENERATION_ID}/0.webp?signature=…"
}


class GenerationIn(GenerationParameters):
    """What to generate."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_PARAMETERS_EXAMPLE]})
    aspect_ratio: str = Field(limits.ASPECT_RATIOS[0], json_schema_extra={"enum": list(limits.ASPECT_RATIOS)})

    @field_validator("num_outputs", "num_inference_steps", "lora_scale", "guidance_scale", "seed", mode="before")
    @classmethod
    def _is_a_number(cls, value: object) -> object:
        return number(value)

    @field_validator("aspect_ratio")
    @classmethod
    def _is_offered(cls, value: str) -> str:
        if value not in limits.ASPECT_RATIOS:
            raise ValueError(f"must be one of {', '.join(limits.ASPECT_RATIOS)}")
        return value


GENERATION_EXAMPLE: Final[JsonDict] = {
    "id": examples.GENERATION_ID,
    "model_id": examples.MODEL_ID,
    "status": "succeeded",
    "canceling": False,
    "parameters": _PARAMETERS_EXAMPLE,
    "prompt_used": "a portrait of ADATOK on the moon",
    "provider": "fal",
    "seed": 1815,
    "used": _USED_EXAMPLE,
    "refusals": [_REFUSAL_EXAMPLE],
    "images": [_IMAGE_EXAMPLE],
    "error": None,
    "cost": {"amount_usd": 0.0096, "basis": "6.29 s × 0.001525 USD per second"},
    "created_at": examples.CREATED_AT,
    "updated_at": examples.UPDATED_AT,
}


class GeneratedImage(BaseModel):
    """An image; its link works for an hour at least, ask again for a new one."""

    model_config = ConfigDict(json_schema_extra={"examples": [_IMAGE_EXAMPLE]})

    url: str


class GenerationError(BaseModel):
    """Why there are no images, and what to do."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "category": "content_policy",
                    "retryable": False,
                    "message": "The provider refuses this prompt",
                    "hint": "Change the prompt.",
                }
            ]
        }
    )

    category: ErrorCategory
    retryable: bool
    message: str
    hint: str


class RefusalOut(ProviderRefusal):
    """A provider that was asked before, and declined for a reason of its own."""

    model_config = ConfigDict(json_schema_extra={"examples": [_REFUSAL_EXAMPLE]})


class GenerationOut(BaseModel):
    """A generation and what came of it.

    `canceling`: its owner wants it to stop, and it has not ended yet. `used` is all that `provider` was sent except the
    prompt, which is `prompt_used`: with the same the image can be made again. `refusals` are of the providers that
    were asked before.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [GENERATION_EXAMPLE]})

    id: UUID
    model_id: UUID | None
    status: GenerationStatus
    canceling: bool
    parameters: GenerationParameters
    prompt_used: str | None
    provider: str | None
    seed: int | None
    used: dict[str, str | int | float | bool]
    refusals: list[RefusalOut]
    images: list[GeneratedImage]
    error: GenerationError | None
    cost: Cost | None
    created_at: datetime
    updated_at: datetime


def generation_out(storage: Storage, row: asyncpg.Record) -> GenerationOut:
    """The generation in a row of `generations`."""
    outcome = json.loads(row["outcome"])
    return GenerationOut(
        parameters=json.loads(row["parameters"]),
        canceling=row["canceling"] and row["status"] in ("requested", "running"),
        **{name: outcome.get(name) for name in ("prompt_used", "provider", "seed", "cost")},
        used=outcome.get("used", {}),
        refusals=outcome.get("refusals", []),
        images=[GeneratedImage(url=image_link(storage, key)) for key in outcome.get("image_keys", [])],
        error=outcome if row["status"] == "failed" else None,
        **{name: row[name] for name in ("id", "model_id", "status", "created_at", "updated_at")},
    )
