"""Canceling a generation over HTTP, what it is estimated at, and what is told of how it was made."""

import asyncio
from itertools import permutations
from uuid import uuid4

import httpx
import pytest

from fluxline.contracts.errors import ErrorCategory
from fluxline.contracts.events import (
    GenerationCanceled,
    GenerationCancelRequested,
    GenerationFailed,
    GenerationRequested,
    GenerationSucceeded,
    ProviderRefusal,
)
from fluxline.contracts.job import Cost
from fluxline.contracts.limits import BASE_MODELS
from fluxline.postgres.pool import Database
from fluxline.runtime.envelope import read_event
from fluxline_gateway.trainings.projection import Projection

from .jobs import ClientOf, received
from .test_generations import new_generation, succeeded

REFUSAL = ProviderRefusal(provider="replicate", category=ErrorCategory.BILLING, message="No credit")


async def wishes(database: Database) -> list[GenerationCancelRequested]:
    rows = await database.pool.fetch("SELECT subject, body FROM outbox WHERE subject = 'generation.cancel_requested'")
    events = [read_event(row["subject"], row["body"]) for row in rows]
    return [event for event in events if isinstance(event, GenerationCancelRequested)]


async def reserved(client: httpx.AsyncClient) -> float:
    return float((await client.get("/v1/me")).json()["spend"]["reserved_usd"])


def canceled(cause: GenerationRequested) -> GenerationCanceled:
    return GenerationCanceled.caused_by(cause, generation_id=cause.generation_id)


async def test_a_canceled_generation_is_wished_once_and_holds_no_money_once_it_has_stopped(
    client: httpx.AsyncClient, database: Database
) -> None:
    cause = await new_generation(client, database)
    path = f"/v1/generations/{cause.generation_id}"
    answers = await asyncio.gather(*(client.post(f"{path}/cancel") for _ in range(5)))
    assert {(a.status_code, a.json()["status"], a.json()["canceling"]) for a in answers} == {(202, "requested", True)}
    assert len({answer.json()["updated_at"] for answer in answers}) == 1
    [wish] = await wishes(database)
    assert (wish.generation_id, wish.training_id) == (cause.generation_id, None)
    assert await reserved(client) > 0
    await Projection(database).handle([received(1, canceled(cause)), received(2, canceled(cause))])
    shown = (await client.get(path)).json()
    assert (shown["status"], shown["canceling"], shown["images"], shown["error"]) == ("canceled", False, [], None)
    assert await reserved(client) == 0
    assert (await client.post(f"{path}/cancel")).json()["status"] == "canceled"
    assert len(await wishes(database)) == 1


async def test_what_a_canceled_generation_was_charged_counts_as_spent(
    client: httpx.AsyncClient, database: Database
) -> None:
    cause = await new_generation(client, database)
    cost = Cost(amount_usd=0.01, basis="2 s")
    await Projection(database).handle([received(1, canceled(cause).model_copy(update={"cost": cost}))])
    assert (await client.get(f"/v1/generations/{cause.generation_id}")).json()["cost"] == cost.model_dump()
    spend = (await client.get("/v1/me")).json()["spend"]
    assert (spend["spent_usd"], spend["reserved_usd"]) == (0.01, 0)


@pytest.mark.parametrize("order", list(permutations(["succeeded", "failed", "canceled"])), ids=" ".join)
async def test_the_first_end_stands_whatever_comes_after_it(
    client: httpx.AsyncClient, database: Database, order: tuple[str, ...]
) -> None:
    cause = await new_generation(client, database)
    facts = {"category": "timeout", "retryable": True, "message": "Slow.", "hint": "Again.", "attempts": 1}
    failed = GenerationFailed.caused_by(cause, generation_id=cause.generation_id, **facts)
    ends = {"succeeded": succeeded(cause), "failed": failed, "canceled": canceled(cause)}
    for batch in ([ends[name] for name in order], [ends[name] for name in order[::-1]]):
        await Projection(database).handle([received(number, event) for number, event in enumerate(batch, 1)])
    shown = (await client.get(f"/v1/generations/{cause.generation_id}")).json()
    assert (shown["status"], shown["canceling"]) == (order[0], False)
    assert bool(shown["images"]) == (order[0] == "succeeded")
    assert await reserved(client) == 0


@pytest.mark.parametrize("end", ["succeeded", "failed"])
async def test_what_has_ended_is_not_canceled(client: httpx.AsyncClient, database: Database, end: str) -> None:
    cause = await new_generation(client, database)
    facts = {"category": "timeout", "retryable": True, "message": "Slow.", "hint": "Again.", "attempts": 1}
    failed = GenerationFailed.caused_by(cause, generation_id=cause.generation_id, **facts)
    ends = {"succeeded": succeeded(cause), "failed": failed}
    await Projection(database).handle([received(1, ends[end]), received(2, canceled(cause))])
    answer = await client.post(f"/v1/generations/{cause.generation_id}/cancel")
    assert (answer.status_code, answer.json()["title"]) == (409, "Generation not canceled")
    assert answer.json()["detail"] == f"The generation has {end}."
    assert await wishes(database) == []


async def test_nobody_cancels_what_is_anothers(
    client: httpx.AsyncClient, client_of: ClientOf, database: Database
) -> None:
    cause = await new_generation(client, database)
    async with client_of("eve") as eve:
        assert (await eve.post(f"/v1/generations/{cause.generation_id}/cancel")).status_code == 404
    assert (await client.post(f"/v1/generations/{uuid4()}/cancel")).status_code == 404
    assert await wishes(database) == []


async def test_a_success_tells_who_made_it_with_what_and_who_declined(
    client: httpx.AsyncClient, database: Database
) -> None:
    cause = await new_generation(client, database)
    assert (cause.base_model, cause.weights_key) == (BASE_MODELS[0], None)
    told = {"provider": "fal", "seed": 7, "used": {"steps": 28, "guidance": 3.5, "safe": True, "size": "1:1"}}
    end = succeeded(cause).model_dump() | told | {"refusals": [REFUSAL]}
    await Projection(database).handle([received(1, GenerationSucceeded.model_validate(end))])
    shown = (await client.get(f"/v1/generations/{cause.generation_id}")).json()
    assert {name: shown[name] for name in told} == told
    assert shown["refusals"] == [REFUSAL.model_dump(mode="json")]


async def test_an_estimate_is_what_is_reserved_and_stores_nothing(
    client: httpx.AsyncClient, database: Database
) -> None:
    body = {"prompt": "a cat", "num_outputs": 3}
    told = (await client.post("/v1/generations/estimate", json=body)).json()
    assert await database.pool.fetchval("SELECT count(*) FROM generations") == 0
    assert told["warnings"] == []
    await client.post("/v1/generations", json=body)
    assert await reserved(client) == pytest.approx(told["cost_usd"])
    await database.pool.execute("INSERT INTO owners (owner, spend_cap_usd) VALUES ('ada', 0.08)")
    [warning] = (await client.post("/v1/generations/estimate", json=body)).json()["warnings"]
    assert warning.startswith("It would exceed the spend cap.")
