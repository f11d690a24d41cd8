"""Generations: images with a trained LoRA or with a base model."""

import json
from functools import partial
from typing import Annotated, Final
from uuid import UUID, uuid4

import asyncpg
from fastapi import APIRouter, Path, Query, Request, Response

from fluxline.postgres.pool import Connection
from fluxline_gateway.deps import Deps, Gateway, Owner
from fluxline_gateway.errors import NotFound, problems
from fluxline_gateway.idempotency import Created, IdempotencyKey, create_once
from fluxline_gateway.models.generation_requests import add_generation, reserve_images
from fluxline_gateway.models.generation_views import GenerationIn, GenerationOut, GenerationStatus, generation_out
from fluxline_gateway.models.routes import find_model
from fluxline_gateway.pages import DEFAULT_LIMIT, Cursor, Limit, Page, decode_cursor, page_of, row_position
from fluxline_gateway.streaming import stored_file

router = APIRouter(tags=["generations"])

MEDIA_TYPES: Final = {"webp": "image/webp", "jpg": "image/jpeg", "png": "image/png"}
_FIND = "SELECT * FROM generations WHERE owner = $1 AND id = $2"
_PAGE = """
SELECT * FROM generations
WHERE owner = $1 AND ($2::timestamptz IS NULL OR (created_at, id) < ($2, $3::uuid))
  AND ($4::uuid IS NULL OR model_id = $4) AND ($5::text IS NULL OR status = $5)
ORDER BY created_at DESC, id DESC LIMIT $6
"""


@router.post(
    "/v1/models/{model_id}/generations",
    status_code=202,
    operation_id="generate_with_model",
    response_model=GenerationOut,
    responses=problems(_402="It would exceed the spend cap", _404="There is no such model"),
)
async def generate_with_model(
    request: Request,
    model_id: UUID,
    body: GenerationIn,
    gateway: Deps,
    owner: Owner,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Ask for images with a trained LoRA. The trigger word is added to the prompt where that lacks it."""
    model = await find_model(gateway, owner.owner, model_id)
    make = partial(_request_generation, gateway, owner.owner, body, model)
    return await create_once(gateway.database, owner.owner, idempotency_key, request, body, make)


@router.post(
    "/v1/generations",
    status_code=202,
    operation_id="generate_with_base_model",
    response_model=GenerationOut,
    responses=problems(_402="It would exceed the spend cap"),
)
async def generate_with_base_model(
    request: Request, body: GenerationIn, gateway: Deps, owner: Owner, idempotency_key: IdempotencyKey = None
) -> Response:
    """Ask for images with the base model."""
    make = partial(_request_generation, gateway, owner.owner, body, None)
    return await create_once(gateway.database, owner.owner, idempotency_key, request, body, make)


@router.get("/v1/generations", operation_id="list_generations")
async def list_generations(
    request: Request,
    response: Response,
    gateway: Deps,
    owner: Owner,
    model_id: Annotated[UUID | None, Query(description="only those with this model")] = None,
    status: Annotated[GenerationStatus | None, Query(description="only those of this status")] = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Page[GenerationOut]:
    """The generations, newest first."""
    created_at, after = decode_cursor(cursor) or (None, None)
    rows = await gateway.database.pool.fetch(_PAGE, owner.owner, created_at, after, model_id, status, limit + 1)
    return page_of(request, response, rows, limit, partial(generation_out, gateway.storage), row_position)


@router.get(
    "/v1/generations/{generation_id}",
    operation_id="get_generation",
    responses=problems(_404="There is no such generation"),
)
async def get_generation(generation_id: UUID, gateway: Deps, owner: Owner) -> GenerationOut:
    """One generation."""
    return generation_out(gateway.storage, await _find_generation(gateway, owner.owner, generation_id))


@router.get(
    "/v1/generations/{generation_id}/images/{index}",
    operation_id="get_generated_image",
    response_class=Response,
    responses=problems(_404="There is no such image", _416="The range lies outside of the file"),
)
async def get_generated_image(
    request: Request,
    generation_id: UUID,
    index: Annotated[int, Path(ge=0, le=99, description="its place among the generation's images, from 0")],
    gateway: Deps,
    owner: Owner,
) -> Response:
    """An image of a generation, as its link gives it, for clients that cannot follow the link."""
    row = await _find_generation(gateway, owner.owner, generation_id)
    keys = json.loads(row["outcome"]).get("image_keys", [])
    stored = await gateway.storage.stat(keys[index]) if index < len(keys) else None
    if stored is None:
        raise NotFound("Image")
    suffix = keys[index].rpartition(".")[2]
    return await stored_file(
        request,
        gateway.storage,
        keys[index],
        stored.size_bytes,
        media_type=MEDIA_TYPES.get(suffix, "application/octet-stream"),
        etag=f"{generation_id}-{index}-{stored.size_bytes:x}",
        headers={
            "Cache-Control": "private, max-age=31536000, immutable",
            "Content-Disposition": f'inline; filename="{generation_id}-{index + 1}.{suffix}"',
        },
    )


async def _find_generation(gateway: Gateway, owner: str, generation_id: UUID) -> asyncpg.Record:
    """The owner's row; raises `NotFound`."""
    row = await gateway.database.pool.fetchrow(_FIND, owner, generation_id)
    if row is None:
        raise NotFound("Generation")
    return row


async def _request_generation(
    gateway: Gateway, owner: str, body: GenerationIn, model: asyncpg.Record | None, connection: Connection
) -> Created:
    row = await add_generation(connection, uuid4(), owner, body, model)
    await reserve_images(connection, row, body.num_outputs, gateway.settings)
    return Created(f"/v1/generations/{row['id']}", generation_out(gateway.storage, row).model_dump_json())
