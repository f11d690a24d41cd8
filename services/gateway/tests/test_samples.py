"""Sample images over HTTP: a batch of generations whose end asks for the model card, once."""

import asyncio
from itertools import permutations
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from fluxline.contracts import events as e
from fluxline.contracts.errors import ErrorCategory
from fluxline.contracts.event import Event
from fluxline.contracts.job import HubPublication
from fluxline.postgres.pool import Database
from fluxline.runtime.envelope import read_event
from fluxline_gateway import examples
from fluxline_gateway.models.samples import AutomaticSamples
from fluxline_gateway.settings import GatewaySettings
from fluxline_gateway.trainings.projection import Projection

from .jobs import ClientOf, job_after, order_of, received

HUB = HubPublication.model_validate(examples.HUB)
PROMPTS = ["at sea", "in the rain"]


async def outbox(database: Database, subject: str) -> list[Any]:
    rows = await database.pool.fetch("SELECT subject, body FROM outbox WHERE subject = $1 ORDER BY id", subject)
    return [read_event(row["subject"], row["body"]) for row in rows]


async def published(
    client: httpx.AsyncClient,
    database: Database,
    *,
    hub: HubPublication | None = HUB,
    automatic: AutomaticSamples | None = None,
    **publish: Any,
) -> dict[str, Any]:
    """The model of a training that has completed."""
    order = await order_of(database)
    order["publish"] |= publish
    (await client.post("/v1/trainings", json=order)).raise_for_status()
    [training] = await outbox(database, "training.requested")
    story = [
        event.model_copy(update={"huggingface": hub}) if isinstance(event, e.ModelPublished) else event
        for event in job_after(training)
    ]
    told = [received(number, event) for number, event in enumerate(story, 1)]
    for _ in range(2):
        await Projection(database, automatic).handle(told)
    [model] = (await client.get("/v1/models")).json()["items"]
    return dict(model)


async def asked(client: httpx.AsyncClient, database: Database, *prompts: str) -> list[e.GenerationRequested]:
    """The generations of a batch for the one model there is."""
    [model] = (await client.get("/v1/models")).json()["items"]
    answer = await client.post(f"/v1/models/{model['id']}/samples", json={"prompts": prompts})
    assert answer.status_code == 202, answer.text
    ids = [UUID(generation["id"]) for generation in answer.json()["generations"]]
    found = {event.generation_id: event for event in await outbox(database, "generation.requested")}
    return [found[generation_id] for generation_id in ids]


def succeeded(cause: e.GenerationRequested) -> e.GenerationSucceeded:
    key = f"generations/{cause.generation_id}/0.webp"
    facts = {"image_keys": (key,), "provider": "replicate", "external_id": "p1"}
    prompt = f"ADATOK {cause.parameters.prompt}"
    return e.GenerationSucceeded.caused_by(cause, generation_id=cause.generation_id, prompt_used=prompt, **facts)


def failed(cause: e.GenerationRequested) -> e.GenerationFailed:
    facts = {"category": ErrorCategory.CONTENT_POLICY, "retryable": False, "attempts": 1}
    ids = {"generation_id": cause.generation_id}
    return e.GenerationFailed.caused_by(cause, message="Refused.", hint="Change it.", **ids, **facts)


def canceled(cause: e.GenerationRequested) -> e.GenerationCanceled:
    return e.GenerationCanceled.caused_by(cause, generation_id=cause.generation_id)


async def project(database: Database, *events: Event) -> None:
    """One event a batch, each of which comes twice."""
    for number, event in enumerate(events, 100):
        for _ in range(2):
            await Projection(database).handle([received(number, event)])


async def test_the_card_is_asked_for_once_with_what_succeeded_when_all_have_ended(
    client: httpx.AsyncClient, database: Database
) -> None:
    model = await published(client, database)
    first, second, third = await asked(client, database, *PROMPTS, "at night")
    assert first.model_id == UUID(model["id"])
    assert first.weights_key == await database.pool.fetchval("SELECT weights_key FROM models")
    await project(database, succeeded(third), failed(second))
    assert await outbox(database, "model.card_requested") == []
    await project(database, succeeded(first))
    [card] = await outbox(database, "model.card_requested")
    assert [sample.text for sample in card.samples] == ["ADATOK at sea", "ADATOK at night"]
    assert card.samples[0].image_key == f"generations/{first.generation_id}/0.webp"
    assert (card.huggingface, card.revision, card.model_id) == (HUB, 1, UUID(model["id"]))
    [training] = await outbox(database, "training.requested")
    assert card.job_facts() == training.job_facts()
    assert model["samples"] == []


@pytest.mark.parametrize("ends", list(permutations((failed, canceled))), ids=lambda ends: ends[0].__name__)
async def test_without_a_success_no_card_is_asked_for(
    client: httpx.AsyncClient, database: Database, ends: tuple[Any, ...]
) -> None:
    await published(client, database)
    causes = await asked(client, database, *PROMPTS)
    await project(database, *(end(cause) for end, cause in zip(ends, causes, strict=True)))
    assert await outbox(database, "model.card_requested") == []
    assert await database.pool.fetchval("SELECT ended FROM sample_batches")


async def test_all_ends_in_one_batch_of_the_stream_are_one_card(client: httpx.AsyncClient, database: Database) -> None:
    await published(client, database)
    ends = [received(number, succeeded(cause)) for number, cause in enumerate(await asked(client, database, *PROMPTS))]
    await Projection(database).handle(ends)
    assert len(await outbox(database, "model.card_requested")) == 1


async def test_replicas_that_see_the_ends_at_once_ask_for_one_card_together(
    client: httpx.AsyncClient, database: Database
) -> None:
    await published(client, database)
    for revision in range(1, 6):
        ends = [succeeded(cause) for cause in await asked(client, database, *"abcd")]
        told = [received(100 * revision + number, end) for number, end in enumerate(ends)]
        await asyncio.gather(*(Projection(database).handle([message]) for message in told + told[::-1]))
        assert [card.revision for card in await outbox(database, "model.card_requested")][revision - 1 :] == [revision]


async def test_a_model_shows_the_newest_samples_of_its_card(client: httpx.AsyncClient, database: Database) -> None:
    await published(client, database)
    cards = []
    for prompt in PROMPTS:
        [cause] = await asked(client, database, prompt)
        await project(database, succeeded(cause))
        cards.append((await outbox(database, "model.card_requested"))[-1])
    assert [card.revision for card in cards] == [1, 2]
    updates = [
        e.ModelCardUpdated.caused_by(
            card,
            **{name: getattr(card, name) for name in ("model_id", "samples", "revision")},
            **{"repo": HUB.repo, "url": HUB.url, "commit": "c" * 40},
        )
        for card in cards
    ]
    for update in updates[::-1]:
        await Projection(database).handle([received(500 - update.revision, update)])
    [model] = (await client.get("/v1/models")).json()["items"]
    [sample] = model["samples"]
    assert sample["text"] == "ADATOK in the rain"
    assert cards[1].samples[0].image_key in sample["url"]
    training = (await client.get(f"/v1/trainings/{model['training_id']}")).json()
    assert (training["status"], training["progress"]) == ("completed", 100)


async def test_a_model_tells_why_its_card_does_not_show_the_newest_samples(
    client: httpx.AsyncClient, database: Database
) -> None:
    model = await published(client, database)
    [cause] = await asked(client, database, "a cat")
    await project(database, succeeded(cause))
    [card] = await outbox(database, "model.card_requested")
    told = {"category": "authentication", "message": "Refused.", "hint": "Another token."}
    failed = e.ModelCardFailed.caused_by(card, model_id=card.model_id, revision=1, **told)
    await Projection(database).handle([received(400, failed)])
    path = f"/v1/models/{model['id']}"
    assert (await client.get(path)).json()["samples_error"] == told
    await asked(client, database, "a dog")
    assert (await client.get(path)).json()["samples_error"] is None
    await Projection(database).handle([received(401, failed.model_copy(update={"event_id": uuid4()}))])
    assert (await client.get(path)).json()["samples_error"] is None


async def test_a_model_that_was_not_published_has_no_card(client: httpx.AsyncClient, database: Database) -> None:
    model = await published(client, database, hub=None)
    answer = await client.post(f"/v1/models/{model['id']}/samples", json={"prompts": PROMPTS})
    assert (answer.status_code, answer.json()["title"]) == (409, "Model not published")
    assert await database.pool.fetchval("SELECT count(*) FROM generations") == 0


@pytest.mark.parametrize("prompts", [[], ["x"] * 5, [""], ["x" * 2001]], ids=["none", "five", "empty", "long"])
async def test_what_is_no_prompt_is_refused(client: httpx.AsyncClient, database: Database, prompts: list[str]) -> None:
    model = await published(client, database)
    answer = await client.post(f"/v1/models/{model['id']}/samples", json={"prompts": prompts})
    assert answer.status_code == 422


async def test_samples_of_anothers_model_or_beyond_the_cap_leave_nothing(
    client: httpx.AsyncClient, client_of: ClientOf, database: Database
) -> None:
    model = await published(client, database)
    path = f"/v1/models/{model['id']}/samples"
    async with client_of("eve") as eve:
        assert (await eve.post(path, json={"prompts": PROMPTS})).status_code == 404
    await database.pool.execute("INSERT INTO owners (owner, spend_cap_usd) VALUES ('ada', 0.03)")
    await database.pool.execute("DELETE FROM spending")
    assert (await client.post(path, json={"prompts": PROMPTS})).status_code == 402
    for table in ("generations", "sample_batches", "spending"):
        assert await database.pool.fetchval(f"SELECT count(*) FROM {table}") == 0
    assert (await client.post(path, json={"prompts": PROMPTS[:1]})).status_code == 202


async def test_a_training_that_was_told_prompts_asks_for_its_samples_by_itself(
    client: httpx.AsyncClient, database: Database, settings: GatewaySettings
) -> None:
    model = await published(client, database, automatic=AutomaticSamples(settings), sample_prompts=PROMPTS)
    causes = await outbox(database, "generation.requested")
    assert [cause.parameters.prompt for cause in causes] == PROMPTS
    assert {str(cause.model_id) for cause in causes} == {model["id"]}
    await project(database, *map(succeeded, causes))
    assert len(await outbox(database, "model.card_requested")) == 1
    training = (await client.get(f"/v1/trainings/{model['training_id']}")).json()
    assert training["publish"]["sample_prompts"] == PROMPTS


async def test_samples_beyond_the_cap_are_left_out_and_the_model_is_there(
    client: httpx.AsyncClient, database: Database, settings: GatewaySettings
) -> None:
    broke = AutomaticSamples(settings.model_copy(update={"spend_cap_usd": 0.0001}))
    model = await published(client, database, automatic=broke, sample_prompts=PROMPTS)
    assert model["huggingface"]
    assert await database.pool.fetchval("SELECT count(*) FROM generations") == 0
    assert await outbox(database, "generation.requested") == []


async def test_prompts_without_publishing_are_refused(client: httpx.AsyncClient, database: Database) -> None:
    order = await order_of(database)
    order["publish"] = {"enabled": False, "sample_prompts": PROMPTS}
    answer = await client.post("/v1/trainings", json=order)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "publish.sample_prompts")


async def test_a_deleted_training_takes_its_samples_along(client: httpx.AsyncClient, database: Database) -> None:
    model = await published(client, database)
    causes = await asked(client, database, *PROMPTS)
    await project(database, succeeded(causes[0]))
    assert (await client.delete(f"/v1/trainings/{model['training_id']}")).status_code == 204
    [deleted] = await outbox(database, "training.delete_requested")
    assert set(deleted.generation_ids) == {cause.generation_id for cause in causes}
    await project(database, succeeded(causes[1]))
    assert await outbox(database, "model.card_requested") == []
    for table in ("sample_batches", "generations", "models"):
        assert await database.pool.fetchval(f"SELECT count(*) FROM {table}") == 0
