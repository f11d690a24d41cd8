"""Hostile requests for trainings: each is a problem that says what to do, none a crash, none an effect."""

import json
from typing import Any
from uuid import uuid4

import httpx
import pytest

from fluxline.postgres.pool import Database
from fluxline_gateway.errors import PROBLEM_JSON

from .jobs import order_of


async def is_refused(answer: httpx.Response, database: Database, status: int = 422) -> bool:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == PROBLEM_JSON
    assert answer.json()["hint"]
    assert await database.pool.fetchval("SELECT count(*) FROM outbox") == 0
    return True


@pytest.mark.parametrize(
    ("facts", "field"),
    [
        ({"name": "a\x00b"}, "name"),
        ({"name": "\ud800"}, "name"),
        ({"trigger_word": "\u202e\n"}, "trigger_word"),
        ({"learning_rate": float("nan")}, "learning_rate"),
        ({"steps": 10**30}, "steps"),
        ({"steps": True}, "steps"),
        ({"captions": {str(uuid4()): "of another image"}}, "captions"),
        ({"captions": []}, "captions"),
        ({"metadata": {str(n): "" for n in range(21)}}, "metadata"),
        ({"metadata": {"k": "x" * 501}}, "metadata.k"),
        ({"webhook_url": "file:///etc/passwd"}, "webhook_url"),
        ({"publish": {"enabled": True}}, "publish.accept_license"),
        ({"publish": {"enabled": True, "accept_license": True, "repo_name": "../x"}}, "publish.repo_name"),
        ({"publish": {"token": "hf_x"}}, "publish.accept_license"),
        ({"base_model": "stabilityai/sdxl"}, "base_model"),
    ],
)
async def test_a_hostile_value_is_refused_by_field(
    client: httpx.AsyncClient, database: Database, facts: dict[str, Any], field: str
) -> None:
    body = json.dumps(await order_of(database, **facts))
    answer = await client.post("/v1/trainings", content=body, headers={"Content-Type": "application/json"})
    assert await is_refused(answer, database)
    assert answer.json()["errors"][0]["field"] == field


async def test_an_image_that_is_named_twice_is_refused(client: httpx.AsyncClient, database: Database) -> None:
    body = await order_of(database)
    body["image_ids"][1] = body["image_ids"][0].upper()
    answer = await client.post("/v1/trainings", json=body)
    assert await is_refused(answer, database)
    assert answer.json()["errors"][0]["field"] == "image_ids"


@pytest.mark.parametrize(("body", "status"), [(b"", 422), (b"{", 422), (b"[]", 422), (b"[" * 100_000, 400)])
async def test_a_body_that_is_no_order_is_refused(
    client: httpx.AsyncClient, database: Database, body: bytes, status: int
) -> None:
    answer = await client.post("/v1/trainings", content=body, headers={"Content-Type": "application/json"})
    assert await is_refused(answer, database, status)


@pytest.mark.parametrize(
    "query", ["q=%00", "q=" + "x" * 101, "limit=0", "limit=101", "limit=x", "cursor=x", "cursor=%00", "status=lost"]
)
async def test_a_hostile_query_is_refused(client: httpx.AsyncClient, database: Database, query: str) -> None:
    assert await is_refused(await client.get(f"/v1/trainings?{query}"), database)


@pytest.mark.parametrize("query", ["after=-1", "after=99999999999999999999", "limit=1001", "cursor=x"])
async def test_a_hostile_history_query_is_refused(client: httpx.AsyncClient, database: Database, query: str) -> None:
    answer = await client.get(f"/v1/trainings/{uuid4()}/events?{query}")
    assert await is_refused(answer, database)


async def test_text_of_every_script_is_kept_as_it_was_sent(client: httpx.AsyncClient, database: Database) -> None:
    body = await order_of(database, name="Ада 🤖 ‘%_’", metadata={"ключ": "a\x00b"}, webhook_url="https://a.test/x")
    answer = await client.post("/v1/trainings", json=body)
    assert answer.status_code == 202
    shown = (await client.get(answer.headers["location"])).json()
    assert (shown["name"], shown["metadata"]) == (body["name"], body["metadata"])
    found = (await client.get("/v1/trainings", params={"q": "🤖 ‘%_"})).json()
    assert [training["id"] for training in found["items"]] == [shown["id"]]
    assert (await client.get("/v1/trainings", params={"q": "%%"})).json()["items"] == []
