"""Sample images of a published model: a batch of generations, and the request for the card once all have ended.

Locks, in the order of the projection: training, model, generations, batch, and the owner's money last.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID, uuid5

import asyncpg

from fluxline.contracts import events as e
from fluxline.contracts.event import Event
from fluxline.contracts.job import CardSample, PublishOptions, TrainingParameters
from fluxline.postgres.outbox import enqueue
from fluxline.postgres.pool import Connection
from fluxline.runtime.logs import get_logger
from fluxline.runtime.telemetry import continued_trace
from fluxline_gateway.errors import ApiError, NotFound
from fluxline_gateway.models.generation_requests import Place, add_generation, reserve_images
from fluxline_gateway.settings import GatewaySettings

_LOCK_MODEL = "SELECT * FROM models WHERE id = $1 FOR UPDATE"
_NEXT_REVISION = "SELECT coalesce(max(revision), 0) + 1 FROM sample_batches WHERE model_id = $1"
_ADD_BATCH = "INSERT INTO sample_batches (id, model_id, revision) VALUES ($1, $2, $3)"
_LOCK_BATCHES = """
SELECT * FROM sample_batches
WHERE NOT ended AND id IN (SELECT batch_id FROM generations WHERE id = ANY($1::uuid[])) ORDER BY id FOR UPDATE
"""
_OF_BATCH = "SELECT status, outcome FROM generations WHERE batch_id = $1 ORDER BY sample_number"
_END_BATCH = "UPDATE sample_batches SET ended = true WHERE id = $1"
_MODEL = "SELECT m.*, t.request FROM models m JOIN trainings t ON t.id = m.training_id WHERE m.id = $1"
_SHOW = """
UPDATE models SET samples = $2, samples_revision = $3, samples_error = NULL WHERE id = $1 AND samples_revision < $3
"""
_CLEAR_ERROR = "UPDATE models SET samples_error = NULL WHERE id = $1"
_FAIL = """
UPDATE models SET samples_error = $2 WHERE id = $1 AND samples_revision < $3
    AND $3 = (SELECT max(revision) FROM sample_batches WHERE model_id = $1)
"""
Traces = Mapping[UUID, dict[str, str]]
"""The trace headers of the messages that are applied, by training."""
NO_TRACES: Final[Traces] = {}
_UNENDED: Final = ("requested", "running")

log = get_logger(__name__)


async def add_samples(
    connection: Connection, model_id: UUID, prompts: Sequence[str], settings: GatewaySettings
) -> list[asyncpg.Record]:
    """Ask for one image a prompt; returns the rows of the generations.

    Raises `NotFound` when the model is gone, and `ApiError` 402 beyond the owner's cap.
    """
    model = await connection.fetchrow(_LOCK_MODEL, model_id)
    if model is None:
        raise NotFound("Model")
    revision = await connection.fetchval(_NEXT_REVISION, model_id)
    batch_id = uuid5(model_id, f"samples {revision}")
    await connection.execute(_ADD_BATCH, batch_id, model_id, revision)
    await connection.execute(_CLEAR_ERROR, model_id)
    rows = []
    for number, prompt in enumerate(prompts, 1):
        parameters, place = e.GenerationParameters(prompt=prompt), Place(batch_id, number)
        generation_id = uuid5(batch_id, str(number))
        rows.append(await add_generation(connection, generation_id, model["owner"], parameters, model, place))
    for row in rows:
        await reserve_images(connection, row, 1, settings)
    return rows


class AutomaticSamples:
    """Asks for the sample images that a training was told to publish its model with."""

    def __init__(self, settings: GatewaySettings) -> None:
        self.settings = settings

    async def ask(
        self, connection: Connection, published: Sequence[e.ModelPublished], traces: Traces = NO_TRACES
    ) -> None:
        """For models that were published just now, last of all; an owner who may not spend it gets the model alone."""
        for event in sorted(published, key=lambda event: (event.owner, event.model_id)):
            prompts = event.publish.sample_prompts
            if not prompts or not event.huggingface:
                continue
            try:
                with continued_trace(traces.get(event.training_id, {})):
                    await self._ask(connection, event, prompts)
            except ApiError as error:
                log.warning("samples.refused", training_id=str(event.training_id), reason=error.title)

    async def _ask(self, connection: Connection, event: e.ModelPublished, prompts: Sequence[str]) -> None:
        async with connection.transaction():  # its end without samples undoes what was asked for
            if await connection.fetchval(_NEXT_REVISION, event.model_id) == 1:
                await add_samples(connection, event.model_id, prompts, self.settings)


async def end_batches(connection: Connection, ended: Sequence[Event], traces: Traces = NO_TRACES) -> None:
    """Ask for the card of each batch whose last generation is among those of the events, if one has succeeded."""
    ids = sorted({event.generation_id for event in ended if isinstance(event, e.GenerationEvent)})
    for batch in await connection.fetch(_LOCK_BATCHES, ids):
        rows = await connection.fetch(_OF_BATCH, batch["id"])
        if any(row["status"] in _UNENDED for row in rows):
            continue
        await connection.execute(_END_BATCH, batch["id"])
        if samples := [_sample(row["outcome"]) for row in rows if row["status"] == "succeeded"]:
            await _request_card(connection, batch, samples, traces)


async def show(connection: Connection, event: e.ModelCardUpdated) -> None:
    """The model's card shows these images now."""
    samples = json.dumps([sample.model_dump(mode="json") for sample in event.samples])
    await connection.execute(_SHOW, event.model_id, samples, event.revision)


async def fail(connection: Connection, event: e.ModelCardFailed) -> None:
    """The model's card does not show the images that were asked for last, and says why."""
    error = event.model_dump_json(include={"category", "message", "hint"})
    await connection.execute(_FAIL, event.model_id, error, event.revision)


def _sample(outcome: str) -> CardSample:
    told = json.loads(outcome)
    return CardSample(text=told["prompt_used"], image_key=told["image_keys"][0])


async def _request_card(
    connection: Connection, batch: asyncpg.Record, samples: list[CardSample], traces: Traces
) -> None:
    model = await connection.fetchrow(_MODEL, batch["model_id"])
    if model is None or model["huggingface"] is None:
        return
    request = json.loads(model["request"])
    names = ("training_id", "name", "trigger_word", "owner", "base_model")
    card = e.ModelCardRequested.first(
        str(batch["id"]),
        **{name: model[name] for name in names},
        parameters=TrainingParameters(**request),
        publish=PublishOptions(**request["publish"]),
        model_id=model["id"],
        huggingface=json.loads(model["huggingface"]),
        samples=samples,
        revision=batch["revision"],
    )
    await enqueue(connection, "gateway", card, trace=traces.get(model["training_id"]))
