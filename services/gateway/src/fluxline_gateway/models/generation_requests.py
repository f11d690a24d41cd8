"""Asking for a generation: its row, its event and its reservation, in one transaction of the caller's."""

from typing import Any, NamedTuple
from uuid import UUID

import asyncpg

from fluxline.contracts import limits
from fluxline.contracts.events import GenerationParameters, GenerationRequested
from fluxline.postgres.outbox import enqueue
from fluxline.postgres.pool import Connection
from fluxline_gateway.errors import NotFound
from fluxline_gateway.settings import GatewaySettings
from fluxline_gateway.trainings.spending import Reservation, reserve

_ADD = """
INSERT INTO generations (id, owner, model_id, status, parameters, batch_id, sample_number)
VALUES ($1, $2, $3, 'requested', $4, $5, $6) RETURNING *
"""


class Place(NamedTuple):
    """Of a generation among the sample images of a model."""

    batch_id: UUID
    number: int


async def add_generation(
    connection: Connection,
    generation_id: UUID,
    owner: str,
    parameters: GenerationParameters,
    model: asyncpg.Record | None,
    place: Place | None = None,
) -> asyncpg.Record:
    """Store the generation with its event; returns its row. Raises `NotFound` when the model was deleted meanwhile."""
    columns = (generation_id, owner, model["id"] if model else None, parameters.model_dump_json())
    try:
        [row] = await connection.fetch(_ADD, *columns, *(place or (None, None)))
    except asyncpg.ForeignKeyViolationError:
        raise NotFound("Model") from None
    await enqueue(connection, "gateway", _event(generation_id, owner, parameters, model))
    return row


async def reserve_images(connection: Connection, row: asyncpg.Record, images: int, settings: GatewaySettings) -> None:
    """Reserve what the generation will probably cost, last of all; raises `ApiError` 402 beyond the owner's cap."""
    usd = likely_usd(images, settings)
    await reserve(connection, Reservation(row["id"], row["owner"], "generation", usd), settings)


def likely_usd(images: int, settings: GatewaySettings) -> float:
    """What that many images are reckoned at."""
    return images * settings.generation_usd_per_image


def _event(
    generation_id: UUID, owner: str, parameters: GenerationParameters, model: asyncpg.Record | None
) -> GenerationRequested:
    of_model: dict[str, Any] = {"base_model": limits.BASE_MODELS[0]}
    if model:
        names = ("training_id", "provider_version", "weights_key", "base_model", "trigger_word")
        of_model = {name: model[name] for name in names} | {"model_id": model["id"]}
    facts = {"owner": owner, "parameters": parameters.model_dump(), **of_model}
    return GenerationRequested.first(str(generation_id), generation_id=generation_id, **facts)
