"""Generations: images with a trained LoRA or with a base model."""

import json
from datetime import datetime
from functools import partial
from typing import Any, Literal
from uuid import UUID, uuid4

import asyncpg
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, field_validator

from fluxline.contracts import limits
from fluxline.contracts.errors import ErrorCategory
from fluxline.contracts.events import GenerationParameters, GenerationRequested
from fluxline.contracts.job import Cost
from fluxline.postgres.outbox import enqueue
from fluxline.postgres.pool import Connection
from fluxline_gateway.deps import Deps, Gateway, Owner
from fluxline_gateway.errors import NotFound, number
from fluxline_gateway.idempotency import Created, IdempotencyKey, create_once
from fluxline_gateway.models import find_model

router = APIRouter(tags=["generations"])

IMAGE_URL_EXPIRES_S = 3600
_ADD = """
INSERT INTO generations (id, owner, model_id, status, parameters) VALUES ($1, $2, $3, 'requested', $4) RETURNING *
"""
_FIND = "SELECT * FROM generations WHERE owner = $1 AND id = $2"


class GenerationIn(GenerationParameters):
    """What to generate."""

    model_config = ConfigDict(extra="forbid")
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


class GeneratedImage(BaseModel):
    """An image; its link works for an hour, ask again for a new one."""

    url: str


class GenerationError(BaseModel):
    """Why there are no images, and what to do."""

    category: ErrorCategory
    retryable: bool
    message: str
    hint: str


class GenerationOut(BaseModel):
    """A generation and what came of it."""

    id: UUID
    model_id: UUID | None
    status: Literal["requested", "running", "succeeded", "failed", "canceled"]
    parameters: GenerationParameters
    prompt_used: str | None
    images: list[GeneratedImage]
    error: GenerationError | None
    cost: Cost | None
    created_at: datetime
    updated_at: datetime


@router.post(
    "/v1/models/{model_id}/generations",
    status_code=202,
    operation_id="generate_with_model",
    response_model=GenerationOut,
)
async def generate_with_model(
    request: Request,
    model_id: UUID,
    body: GenerationIn,
    gateway: Deps,
    owner: Owner,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Ask for images with a trained LoRA."""
    model = await find_model(gateway, owner.owner, model_id)
    make = partial(_request_generation, gateway, owner.owner, body, model)
    return await create_once(gateway.database, owner.owner, idempotency_key, request, body, make)


@router.post("/v1/generations", status_code=202, operation_id="generate_with_base_model", response_model=GenerationOut)
async def generate_with_base_model(
    request: Request, body: GenerationIn, gateway: Deps, owner: Owner, idempotency_key: IdempotencyKey = None
) -> Response:
    """Ask for images with the base model."""
    make = partial(_request_generation, gateway, owner.owner, body, None)
    return await create_once(gateway.database, owner.owner, idempotency_key, request, body, make)


@router.get("/v1/generations/{generation_id}", operation_id="get_generation")
async def get_generation(generation_id: UUID, gateway: Deps, owner: Owner) -> GenerationOut:
    """One generation."""
    row = await gateway.database.pool.fetchrow(_FIND, owner.owner, generation_id)
    if row is None:
        raise NotFound("Generation")
    return _generation_out(gateway, row)


async def _request_generation(
    gateway: Gateway, owner: str, body: GenerationIn, model: asyncpg.Record | None, connection: Connection
) -> Created:
    generation_id = uuid4()
    model_id = model["id"] if model else None
    try:
        [row] = await connection.fetch(_ADD, generation_id, owner, model_id, body.model_dump_json())
    except asyncpg.ForeignKeyViolationError:  # the model was deleted since it was found
        raise NotFound("Model") from None
    await enqueue(connection, "gateway", _event(generation_id, owner, body, model))
    return Created(f"/v1/generations/{generation_id}", _generation_out(gateway, row).model_dump_json())


def _event(generation_id: UUID, owner: str, body: GenerationIn, model: asyncpg.Record | None) -> GenerationRequested:
    of_model: dict[str, Any] = {}
    if model:
        of_model = {name: model[name] for name in ("training_id", "provider_version", "trigger_word")}
        of_model["model_id"] = model["id"]
    return GenerationRequested.first(
        str(generation_id), generation_id=generation_id, owner=owner, parameters=body.model_dump(), **of_model
    )


def _generation_out(gateway: Gateway, row: asyncpg.Record) -> GenerationOut:
    outcome = json.loads(row["outcome"])
    keys = outcome.get("image_keys", [])
    return GenerationOut(
        parameters=json.loads(row["parameters"]),
        prompt_used=outcome.get("prompt_used"),
        images=[GeneratedImage(url=gateway.storage.signed_url(k, expires_s=IMAGE_URL_EXPIRES_S)) for k in keys],
        error=outcome if row["status"] == "failed" else None,
        cost=outcome.get("cost"),
        **{name: row[name] for name in ("id", "model_id", "status", "created_at", "updated_at")},
    )
