"""`POST /v1/models/{id}/samples`: images for the card of a published model."""

from functools import partial
from typing import Final
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from fluxline.contracts.errors import ErrorCategory
from fluxline.contracts.job import SamplePrompt
from fluxline.contracts.limits import MAX_SAMPLE_PROMPTS
from fluxline.postgres.pool import Connection
from fluxline_gateway import examples
from fluxline_gateway.deps import Deps, Gateway, Owner
from fluxline_gateway.errors import ApiError, problems
from fluxline_gateway.idempotency import Created, IdempotencyKey, create_once
from fluxline_gateway.models.generation_views import GENERATION_EXAMPLE, GenerationOut, generation_out
from fluxline_gateway.models.routes import find_model
from fluxline_gateway.models.samples import add_samples

router = APIRouter(tags=["models"])

_NOT_PUBLISHED: Final = "Only a model on Hugging Face has a card: train it again with publish.enabled."


class SamplesIn(BaseModel):
    """What the images of the model card show, a prompt for each; the trigger word is added where one lacks it."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"prompts": ["a portrait of ADATOK on the moon"]}]}
    )

    prompts: list[SamplePrompt] = Field(min_length=1, max_length=MAX_SAMPLE_PROMPTS)


class SamplesOut(BaseModel):
    """The generations that make the images of a model's card."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"model_id": examples.MODEL_ID, "generations": [GENERATION_EXAMPLE]}]}
    )

    model_id: UUID
    generations: list[GenerationOut]


@router.post(
    "/v1/models/{model_id}/samples",
    status_code=202,
    operation_id="create_samples",
    response_model=SamplesOut,
    responses=problems(
        _402="It would exceed the spend cap", _404="There is no such model", _409="The model was not published"
    ),
)
async def create_samples(
    request: Request,
    model_id: UUID,
    body: SamplesIn,
    gateway: Deps,
    owner: Owner,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Make images for the model's card on Hugging Face. Once all generations have ended, it shows those that succeeded.

    They take the place of the images that it showed before; the model's `samples` tell when that has happened.
    """
    model = await find_model(gateway, owner.owner, model_id)
    if model["huggingface"] is None:
        raise ApiError(409, "Model not published", category=ErrorCategory.VALIDATION, hint=_NOT_PUBLISHED)
    make = partial(_create, gateway, model_id, body)
    return await create_once(gateway.database, owner.owner, idempotency_key, request, body, make)


async def _create(gateway: Gateway, model_id: UUID, body: SamplesIn, connection: Connection) -> Created:
    rows = await add_samples(connection, model_id, body.prompts, gateway.settings)
    asked = SamplesOut(model_id=model_id, generations=[generation_out(gateway.storage, row) for row in rows])
    return Created(f"/v1/models/{model_id}", asked.model_dump_json())
