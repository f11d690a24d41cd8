"""One key, one thing: however often, however parallel, whatever happened in between."""

import asyncio
from uuid import uuid4

import httpx
import pytest
from fastapi import Request

from fluxline.contracts.events import TrainingRequested
from fluxline.postgres.pool import Connection, Database
from fluxline.runtime.envelope import read_event
from fluxline_gateway.errors import ApiError
from fluxline_gateway.idempotency import Created, create_once
from fluxline_gateway.trainings.projection import Projection
from fluxline_gateway.trainings.requests import TrainingIn

from .jobs import ClientOf, order_of, progressed, received

KEY = {"Idempotency-Key": "a-click"}


async def count(database: Database, table: str) -> int:
    return int(await database.pool.fetchval(f"SELECT count(*) FROM {table}"))


async def test_a_repeated_request_gets_the_first_answer_even_when_the_training_has_moved_on(
    client: httpx.AsyncClient, database: Database
) -> None:
    body = await order_of(database)
    first = await client.post("/v1/trainings", json=body, headers=KEY)
    row = await database.pool.fetchrow("SELECT subject, body FROM outbox")
    cause = read_event(row["subject"], row["body"])
    assert isinstance(cause, TrainingRequested)
    await Projection(database).handle([received(1, cause), received(2, progressed(cause, 50))])
    again = await client.post("/v1/trainings", json=body, headers=KEY)
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers
    assert (await client.get(first.headers["location"])).json()["status"] == "zipping"


async def test_without_a_key_every_request_is_a_new_one(client: httpx.AsyncClient, database: Database) -> None:
    body = await order_of(database)
    answers = [await client.post("/v1/trainings", json=body) for _ in range(2)]
    assert len({answer.json()["id"] for answer in answers}) == 2


async def test_a_refused_request_leaves_its_key_for_the_corrected_one(
    client: httpx.AsyncClient, database: Database
) -> None:
    body = await order_of(database)
    wrong = body | {"image_ids": [*body["image_ids"][:4], str(uuid4())]}
    assert (await client.post("/v1/trainings", json=wrong, headers=KEY)).status_code == 422
    assert (await client.post("/v1/trainings", json=body, headers=KEY)).status_code == 202


async def test_a_key_is_its_owners_own(client: httpx.AsyncClient, client_of: ClientOf, database: Database) -> None:
    mine = await client.post("/v1/trainings", json=await order_of(database), headers=KEY)
    async with client_of("bob") as bob:
        theirs = await bob.post("/v1/trainings", json=await order_of(database, "bob"), headers=KEY)
    assert (mine.status_code, theirs.status_code) == (202, 202)
    assert mine.json()["id"] != theirs.json()["id"]


async def test_a_key_of_another_call_is_refused_with_what_to_do(client: httpx.AsyncClient, database: Database) -> None:
    await client.post("/v1/trainings", json=await order_of(database), headers=KEY)
    answer = await client.post("/v1/generations", json={"prompt": "a cat"}, headers=KEY)
    assert (answer.status_code, answer.json()["title"]) == (422, "Idempotency key used before")
    assert "new Idempotency-Key" in answer.json()["hint"]
    assert await count(database, "generations") == 0


async def test_fifty_parallel_generations_with_one_key_are_one(client: httpx.AsyncClient, database: Database) -> None:
    body = {"prompt": "a cat"}
    answers = await asyncio.gather(*(client.post("/v1/generations", json=body, headers=KEY) for _ in range(50)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.content for answer in answers}) == 1
    assert (await count(database, "generations"), await count(database, "outbox")) == (1, 1)


async def test_a_request_whose_twin_is_still_at_work_is_told_to_come_back(database: Database) -> None:
    at_work, go_on = asyncio.Event(), asyncio.Event()
    request = Request({"type": "http", "method": "POST", "path": "/v1/trainings", "headers": [], "query_string": b""})
    body = TrainingIn(name="Ada", trigger_word="T", image_ids=[uuid4() for _ in range(5)])

    async def slow(_connection: Connection) -> Created:
        at_work.set()
        await go_on.wait()
        return Created("/v1/trainings/1", '{"id":1}')

    async def post(wait_s: float) -> bytes:
        return bytes((await create_once(database, "ada", "k", request, body, slow, wait_s=wait_s)).body)

    first = asyncio.create_task(post(5))
    await at_work.wait()
    with pytest.raises(ApiError) as refused:
        await post(0.05)
    assert (refused.value.status, refused.value.headers) == (409, {"Retry-After": "1"})
    waiting = asyncio.create_task(post(5))
    go_on.set()
    assert await first == await waiting == b'{"id":1}'
