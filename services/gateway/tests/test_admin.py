"""Administration: every owner's limits and keys, for keys with the scope admin."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI

from fluxline.postgres.pool import Database
from fluxline_gateway.identity import keys

from .bearers import bearer_of, caller
from .conftest import ClientOf
from .jobs import order_of

_ROW = "INSERT INTO owners (owner) VALUES ($1)"


@pytest.fixture
async def root(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """An administrator's client."""
    async with caller(app, "root", "admin") as client:
        yield client


async def owners(client: httpx.AsyncClient, url: str = "/v1/admin/owners") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while url:
        answer = await client.get(url)
        assert answer.status_code == 200, answer.text
        found += answer.json()["items"]
        url = answer.links.get("next", {}).get("url", "")
    return found


@pytest.mark.parametrize("limit", [1, 2, 100])
async def test_owners_are_listed_by_name_whatever_they_have(
    root: httpx.AsyncClient, database: Database, limit: int
) -> None:
    for _ in range(2):
        await keys.create(database.pool, "bob")
    await database.pool.execute(_ROW, "carol")
    await database.pool.execute(_ROW, "bob")
    await order_of(database, "dora")
    found = await owners(root, f"/v1/admin/owners?limit={limit}")
    assert [owner["owner"] for owner in found] == ["bob", "carol", "dora", "root"]
    assert [owner["images"] for owner in found] == [0, 0, 5, 0]


async def test_an_owner_is_shown_with_its_use(
    root: httpx.AsyncClient, client: httpx.AsyncClient, database: Database
) -> None:
    answer = await client.post("/v1/trainings", json=await order_of(database))
    assert answer.status_code == 202
    shown = (await root.get("/v1/admin/owners/ada")).json()
    assert (shown["running"], shown["trainings"], shown["images"], shown["models"]) == (1, 1, 5, 0)
    assert shown["spend"] == (await client.get("/v1/me")).json()["spend"]
    assert shown["spend"]["reserved_usd"] > 0
    assert shown["created_at"]


async def test_limits_are_changed_one_by_one_and_null_is_the_default(
    root: httpx.AsyncClient, database: Database
) -> None:
    await keys.create(database.pool, "bob")
    path, wanted = "/v1/admin/owners/bob", {"spend_cap_usd": 25.5, "max_running": 3, "requests_per_minute": 600}
    assert (await root.patch(path, json=wanted)).json().items() >= wanted.items()
    assert (await root.patch(path, json={})).json().items() >= wanted.items()
    wanted |= {"max_running": 5}
    assert (await root.patch(path, json={"max_running": 5})).json().items() >= wanted.items()
    changed = (await root.patch(path, json={"spend_cap_usd": None})).json()
    assert (changed["spend_cap_usd"], changed["max_running"], changed["requests_per_minute"]) == (None, 5, 600)
    assert changed["spend"]["cap_usd"] is None
    assert changed == (await root.get(path)).json()


async def test_limits_hold_from_the_next_request_on(
    root: httpx.AsyncClient, client: httpx.AsyncClient, database: Database
) -> None:
    order = await order_of(database)
    await root.patch("/v1/admin/owners/ada", json={"max_running": 0})
    assert (await client.post("/v1/trainings", json=order)).status_code == 429
    await root.patch("/v1/admin/owners/ada", json={"max_running": None, "spend_cap_usd": 0})
    assert (await client.post("/v1/trainings", json=order)).status_code == 402
    await root.patch("/v1/admin/owners/ada", json={"spend_cap_usd": None})
    assert (await client.post("/v1/trainings", json=order)).status_code == 202


@pytest.mark.parametrize(
    "body",
    [
        {"spend_cap_usd": -1},
        {"spend_cap_usd": "5"},
        {"spend_cap_usd": True},
        {"spend_cap_usd": 1e300},
        {"max_running": -1},
        {"max_running": 1.5},
        {"max_running": 2**40},
        {"requests_per_minute": 0},
        {"requests_per_minute": False},
        {"requests_per_minute": "many"},
        {"owner": "eve"},
        [],
    ],
)
async def test_limits_that_make_no_sense_are_refused(root: httpx.AsyncClient, body: Any) -> None:
    before = (await root.get("/v1/admin/owners/root")).json()
    answer = await root.patch("/v1/admin/owners/root", json=body)
    assert answer.status_code == 422
    assert answer.json()["errors"]
    assert (await root.get("/v1/admin/owners/root")).json() == before


async def test_who_does_not_exist_is_not_found_and_not_made(root: httpx.AsyncClient) -> None:
    assert (await root.get("/v1/admin/owners/nobody")).status_code == 404
    assert (await root.patch("/v1/admin/owners/nobody", json={"max_running": 1})).status_code == 404
    assert (await root.get("/v1/admin/owners/nobody/keys")).status_code == 404
    assert [owner["owner"] for owner in await owners(root)] == ["root"]
    for name in ("No-Name", "a%00b", "a" * 64):
        assert (await root.get(f"/v1/admin/owners/{name}")).status_code == 422


async def test_a_key_for_a_new_owner_makes_the_owner(app: FastAPI, root: httpx.AsyncClient) -> None:
    answer = await root.post("/v1/admin/owners/eve/keys", json={"name": "first", "scopes": ["read"]})
    made = answer.json()
    assert answer.status_code == 201
    assert (made["owner"], made["scopes"]) == ("eve", ["read"])
    assert (await root.get("/v1/admin/owners/eve")).status_code == 200
    [listed] = (await root.get("/v1/admin/owners/eve/keys")).json()["items"]
    assert listed == {name: value for name, value in made.items() if name != "key"}
    assert (await root.get(answer.headers["location"])).json() == listed
    async with bearer_of(app, made["key"]) as eve:
        assert (await eve.get("/v1/me")).json()["owner"] == "eve"
        assert (await eve.post("/v1/keys", json={"name": "a"})).status_code == 403


async def test_an_administrator_makes_administrators(app: FastAPI, root: httpx.AsyncClient) -> None:
    made = (await root.post("/v1/admin/owners/eve/keys", json={"name": "a", "scopes": ["admin"]})).json()
    async with bearer_of(app, made["key"]) as eve:
        assert (await eve.get("/v1/admin/owners")).status_code == 200


async def test_one_idempotency_key_serves_one_owner(root: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "one"}
    for owner, status in (("eve", 201), ("eve", 409), ("bob", 422)):
        answer = await root.post(f"/v1/admin/owners/{owner}/keys", json={"name": "a"}, headers=headers)
        assert answer.status_code == status


async def test_an_administrator_revokes_any_key(root: httpx.AsyncClient, client_of: ClientOf) -> None:
    async with client_of("bob") as bob:
        key_id = (await bob.get("/v1/me")).json()["key_id"]
        assert (await root.delete(f"/v1/admin/keys/{key_id}")).status_code == 204
        assert (await bob.get("/v1/me")).status_code == 401
    assert (await root.delete(f"/v1/admin/keys/{key_id}")).status_code == 204
    assert (await root.get(f"/v1/admin/keys/{key_id}")).json()["revoked_at"]
    for method in ("GET", "DELETE"):
        assert (await root.request(method, f"/v1/admin/keys/{uuid4()}")).status_code == 404
