"""Generations: images with a trained LoRA or with a base model."""

import json
from datetime import datetime
from typing import Any, Literal
from uuid import UUID, uuid4

import asyncpg
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, field_validator

from fluxline.contracts import limits
from fluxline.contracts.errors import ErrorCategory
from fluxline.contracts.events import GenerationParameters, GenerationRequested
from fluxline.contracts.job import Cost
from fluxline.postgres.outbox import enqueue
from fluxline_gateway.deps import Deps, Gateway, Owner
from fluxline_gateway.errors import NotFound
from fluxline_gateway.idempotency import IdempotencyKey, claim
from fluxline_gateway.models import find_model

router = APIRouter(tags=["generations"])

IMAGE_URL_EXPIRES_S = 3600
_ADD = "INSERT INTO generations (id, owner, model_id, status, parameters) VALUES ($1, $2, $3, 'requested', $4)"
_FIND = "SELECT * FROM generations WHERE owner = $1 AND id = $2"


class GenerationIn(GenerationParameters):
    """What to generate."""

    model_config = ConfigDict(extra="forbid")

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


@router.post("/v1/models/{model_id}/generations", status_code=202, operation_id="generate_with_model")
async def generate_with_model(
    request: Request,
    response: Response,
    model_id: UUID,
    body: GenerationIn,
    gateway: Deps,
    owner: Owner,
    idempotency_key: IdempotencyKey = None,
) -> GenerationOut:
    """Ask for images with a trained LoRA."""
    model = await find_model(gateway, owner.owner, model_id)
    return await _request(request, response, gateway, owner.owner, body, idempotency_key, model)


@router.post("/v1/generations", status_code=202, operation_id="generate_with_base_model")
async def generate_with_base_model(
    request: Request,
    response: Response,
    body: GenerationIn,
    gateway: Deps,
    owner: Owner,
    idempotency_key: IdempotencyKey = None,
) -> GenerationOut:
    """Ask for images with the base model."""
    return await _request(request, response, gateway, owner.owner, body, idempotency_key, None)


@router.get("/v1/generations/{generation_id}", operation_id="get_generation")
async def get_generation(generation_id: UUID, gateway: Deps, owner: Owner) -> GenerationOut:
    """One generation."""
    return await _generation(gateway, owner.owner, generation_id)


async def _request(
    request: Request,
    response: Response,
    gateway: Gateway,
    owner: str,
    body: GenerationIn,
    key: str | None,
    model: asyncpg.Record | None,
) -> GenerationOut:
    generation_id = uuid4()
    async with gateway.database.transaction() as connection:
        earlier = await claim(connection, owner, key, request.url.path, body, generation_id)
        if earlier is None:
            model_id = model["id"] if model else None
            await connection.execute(_ADD, generation_id, owner, model_id, body.model_dump_json())
            await enqueue(connection, "gateway", _event(generation_id, owner, body, model))
        else:
            generation_id = earlier
            response.headers["Idempotent-Replayed"] = "true"
    response.headers["Location"] = f"/v1/generations/{generation_id}"
    return await _generation(gateway, owner, generation_id)


def _event(generation_id: UUID, owner: str, body: GenerationIn, model: asyncpg.Record | None) -> GenerationRequested:
    of_model: dict[str, Any] = {}
    if model:
        of_model = {name: model[name] for name in ("training_id", "provider_version", "trigger_word")}
        of_model["model_id"] = model["id"]
    return GenerationRequested.first(
        str(generation_id), generation_id=generation_id, owner=owner, parameters=body.model_dump(), **of_model
    )


async def _generation(gateway: Gateway, owner: str, generation_id: UUID) -> GenerationOut:
    row = await gateway.database.pool.fetchrow(_FIND, owner, generation_id)
    if row is None:
        raise NotFound("Generation")
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
