"""`/v1/models`: what came out of trainings, and its weights."""

import json
from datetime import datetime
from functools import partial
from typing import Final
from uuid import UUID

import asyncpg
from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, ConfigDict
from pydantic.config import JsonDict

from fluxline.contracts.errors import ErrorCategory
from fluxline.contracts.job import HubPublication
from fluxline.storage import Storage
from fluxline_gateway import examples
from fluxline_gateway.deps import Deps, Gateway, Owner
from fluxline_gateway.errors import NotFound, problems
from fluxline_gateway.images.links import image_link
from fluxline_gateway.pages import DEFAULT_LIMIT, Cursor, Limit, Page, decode_cursor, page_of, row_position

router = APIRouter(prefix="/v1/models", tags=["models"])

WEIGHTS_URL_EXPIRES_S = 900
_FIND = "SELECT * FROM models WHERE owner = $1 AND id = $2"
_PAGE = """
SELECT * FROM models WHERE owner = $1 AND ($2::timestamptz IS NULL OR (created_at, id) < ($2, $3::uuid))
ORDER BY created_at DESC, id DESC LIMIT $4
"""

_SAMPLE_EXAMPLE: Final[JsonDict] = {
    "text": "a portrait of ADATOK on the moon",
    "url": f"https://storage.example.com/generations/{examples.GENERATION_ID}/0.webp?signature=…",
}


class SampleOut(BaseModel):
    """An image of the model card, and its prompt; the link works for an hour at least."""

    model_config = ConfigDict(json_schema_extra={"examples": [_SAMPLE_EXAMPLE]})

    text: str
    url: str


class CardError(BaseModel):
    """Why the card does not show the images that were asked for last, and what to do."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "category": "authentication",
                    "message": "Hugging Face refused the token",
                    "hint": "Set HUGGINGFACE_API_TOKEN to a token with write access.",
                }
            ]
        }
    )

    category: ErrorCategory
    message: str
    hint: str


class ModelOut(BaseModel):
    """A trained model; `huggingface` is null where it was not published.

    `samples` are what its card shows by now; `samples_error` says why it does not show those that were asked for last.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": examples.MODEL_ID,
                    "training_id": examples.TRAINING_ID,
                    "name": "Ada",
                    "trigger_word": "ADATOK",
                    "base_model": "black-forest-labs/FLUX.1-dev",
                    "sha256": examples.SHA256,
                    "size_bytes": 171_969_408,
                    "provider": "replicate",
                    "provider_version": "ada/flux-ada-7a1a1a60:4bf92f3577b34da6",
                    "huggingface": examples.HUB,
                    "samples": [_SAMPLE_EXAMPLE],
                    "samples_error": None,
                    "weights_url": f"/v1/models/{examples.MODEL_ID}/weights",
                    "created_at": examples.UPDATED_AT,
                }
            ]
        }
    )

    id: UUID
    training_id: UUID
    name: str
    trigger_word: str
    base_model: str
    sha256: str
    size_bytes: int
    provider: str
    provider_version: str
    huggingface: HubPublication | None
    samples: list[SampleOut]
    samples_error: CardError | None
    weights_url: str
    created_at: datetime


@router.get("", operation_id="list_models")
async def list_models(
    request: Request,
    response: Response,
    gateway: Deps,
    owner: Owner,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Page[ModelOut]:
    """The models, newest first."""
    created_at, after = decode_cursor(cursor) or (None, None)
    rows = await gateway.database.pool.fetch(_PAGE, owner.owner, created_at, after, limit + 1)
    return page_of(request, response, rows, limit, partial(_model_out, gateway.storage), row_position)


@router.get("/{model_id}", operation_id="get_model", responses=problems(_404="There is no such model"))
async def get_model(model_id: UUID, gateway: Deps, owner: Owner) -> ModelOut:
    """One model."""
    return _model_out(gateway.storage, await find_model(gateway, owner.owner, model_id))


@router.get(
    "/{model_id}/weights",
    operation_id="download_weights",
    status_code=307,
    response_class=RedirectResponse,
    responses={307: {"description": "Follow the link to the file"}, **problems(_404="There is no such model")},
)
async def download_weights(model_id: UUID, gateway: Deps, owner: Owner) -> RedirectResponse:
    """The way to the .safetensors: a link that works for a quarter of an hour."""
    row = await find_model(gateway, owner.owner, model_id)
    url = gateway.storage.signed_url(
        row["weights_key"], expires_s=WEIGHTS_URL_EXPIRES_S, filename=f"{model_id}.safetensors"
    )
    return RedirectResponse(url, 307)


async def find_model(gateway: Gateway, owner: str, model_id: UUID) -> asyncpg.Record:
    """The owner's row; raises `NotFound`."""
    row = await gateway.database.pool.fetchrow(_FIND, owner, model_id)
    if row is None:
        raise NotFound("Model")
    return row


def _model_out(storage: Storage, row: asyncpg.Record) -> ModelOut:
    hub = json.loads(row["huggingface"]) if row["huggingface"] else None
    error = json.loads(row["samples_error"]) if row["samples_error"] else None
    told = ("huggingface", "samples", "samples_error", "weights_url")
    columns = {name: row[name] for name in ModelOut.model_fields if name not in told}
    samples = [
        SampleOut(text=sample["text"], url=image_link(storage, sample["image_key"]))
        for sample in json.loads(row["samples"])
    ]
    shown = {"samples": samples, "samples_error": error}
    return ModelOut(**columns, **shown, huggingface=hub, weights_url=f"/v1/models/{row['id']}/weights")
