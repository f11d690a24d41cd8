"""Keys made, listed and revoked by the API: shown once, and never stronger than the key that makes them."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from fastapi import FastAPI

from fluxline.postgres.pool import Database
from fluxline_gateway.deps import Gateway
from fluxline_gateway.errors import ApiError
from fluxline_gateway.identity import keys
from fluxline_gateway.identity.key_views import KeyIn
from fluxline_gateway.identity.keys import Principal
from fluxline_gateway.identity.new_keys import grant

from .bearers import bearer_of, caller
from .conftest import ClientOf

NOW = datetime(2026, 11, 25, 10, tzinfo=UTC)


async def make(client: httpx.AsyncClient, name: str = "laptop", **facts: Any) -> dict[str, Any]:
    answer = await client.post("/v1/keys", json={"name": name, **facts})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def count_keys(database: Database) -> int:
    return int(await database.pool.fetchval("SELECT count(*) FROM api_keys"))


async def test_a_new_key_works_and_is_shown_only_once(
    app: FastAPI, client: httpx.AsyncClient, database: Database
) -> None:
    answer = await client.post("/v1/keys", json={"name": "laptop"})
    made = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/v1/keys/{made['id']}"
    assert answer.headers["cache-control"] == "no-store"
    assert (made["owner"], made["name"], made["scopes"]) == ("ada", "laptop", ["read", "write"])
    assert (made["expires_at"], made["last_used_at"], made["revoked_at"]) == (None, None, None)
    assert made["key"].startswith(made["hint"])
    assert len(made["hint"]) == 6
    async with bearer_of(app, made["key"]) as other:
        me = (await other.get("/v1/me")).json()
        assert (me["owner"], me["key_id"]) == ("ada", made["id"])
    listed = (await client.get("/v1/keys")).text
    assert made["id"] in listed
    assert made["key"] not in listed
    assert made["key"] not in str(await database.pool.fetch("SELECT * FROM api_keys"))


async def test_a_repeated_request_makes_one_key_and_cannot_show_it_again(
    client: httpx.AsyncClient, database: Database
) -> None:
    headers = {"Idempotency-Key": "one"}
    before = await count_keys(database)
    answers = [client.post("/v1/keys", json={"name": "laptop"}, headers=headers) for _ in range(3)]
    first, *repeats = sorted(await asyncio.gather(*answers), key=lambda answer: answer.status_code)
    assert (first.status_code, [repeat.status_code for repeat in repeats]) == (201, [409, 409])
    assert await count_keys(database) == before + 1
    for repeat in repeats:
        assert first.json()["id"] in repeat.json()["detail"]
        assert "revoke" in repeat.json()["hint"]
    assert first.json()["key"] not in str(await database.pool.fetch("SELECT * FROM idempotency_keys"))
    other = await client.post("/v1/keys", json={"name": "another"}, headers=headers)
    assert other.status_code == 422


async def test_keys_are_listed_over_pages_newest_first(client: httpx.AsyncClient, client_of: ClientOf) -> None:
    made = [(await make(client, name))["id"] for name in ("a", "b", "c")]
    async with client_of("bob"):
        pass
    found, url = [], "/v1/keys?limit=2"
    while url:
        answer = await client.get(url)
        found += [item["id"] for item in answer.json()["items"]]
        url = answer.links.get("next", {}).get("url", "")
    assert found[:3] == made[::-1]
    assert len(found) == 4  # with the one that asks, and without Bob's


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": ""},
        {"name": "a\x00b"},
        {"name": "a" * 101},
        {"name": 7},
        {"name": "a", "scopes": []},
        {"name": "a", "scopes": ["root"]},
        {"name": "a", "scopes": "read"},
        {"name": "a", "owner": "bob"},
        {"name": "a", "key_id": str(uuid4())},
        *({"name": "a", "expires_at": at} for at in ("", "tomorrow", 4_000_000_000, "4000000000", "2099-01-01", True)),
        *({"name": "a", "expires_at": at} for at in ("2099-01-01T00:00:00", "9999-12-31T23:59:59-10:00")),
        {"name": "a", "expires_at": "2001-01-01T00:00:00Z"},
    ],
)
async def test_what_does_not_fit_is_refused_with_the_field(
    client: httpx.AsyncClient, database: Database, body: dict[str, Any]
) -> None:
    before = await count_keys(database)
    answer = await client.post("/v1/keys", json=body)
    assert answer.status_code == 422
    assert answer.json()["errors"]
    assert await count_keys(database) == before


@pytest.mark.parametrize(
    ("own", "asked", "missing"),
    [
        (["read"], ["read"], "write"),
        (["write"], ["read"], "read"),
        (["read", "write"], ["admin"], "admin"),
        (["read", "write"], ["read", "write", "admin"], "admin"),
    ],
)
async def test_a_key_gives_no_scope_that_it_lacks(
    app: FastAPI, database: Database, own: list[str], asked: list[str], missing: str
) -> None:
    async with caller(app, "ada", *own) as client:
        before = await count_keys(database)
        answer = await client.post("/v1/keys", json={"name": "a", "scopes": asked})
        assert answer.status_code == 403
        assert f'scope="{missing}"' in answer.headers["www-authenticate"]
        assert await count_keys(database) == before


async def test_without_scopes_a_key_gets_what_the_calling_one_may_but_never_admin(app: FastAPI) -> None:
    for own, given in ((["write"], ["write"]), (["read", "write"], ["read", "write"]), (["admin"], ["read", "write"])):
        async with caller(app, "ada", *own) as client:
            assert (await make(client))["scopes"] == given


async def test_a_key_ends_no_later_than_the_one_that_made_it(app: FastAPI) -> None:
    end = datetime.now(UTC) + timedelta(hours=1)
    async with caller(app, "ada", "admin", expires_at=end) as client:
        assert datetime.fromisoformat((await make(client))["expires_at"]) == end
        earlier = (end - timedelta(minutes=1)).isoformat()
        assert datetime.fromisoformat((await make(client, expires_at=earlier))["expires_at"]) < end
        for path in ("/v1/keys", "/v1/admin/owners/ada/keys", "/v1/admin/owners/bob/keys"):
            later = {"name": "a", "expires_at": (end + timedelta(seconds=1)).isoformat()}
            answer = await client.post(path, json=later)
            assert answer.status_code == 422
            assert [error["field"] for error in answer.json()["errors"]] == ["expires_at"]


async def test_a_revoked_key_makes_no_keys_although_it_is_still_honoured(
    app: FastAPI, gateway: Gateway, database: Database
) -> None:
    key, key_id = await keys.create(database.pool, "ada", scopes=["admin"])
    async with bearer_of(app, key) as client:
        assert (await client.get("/v1/me")).status_code == 200
        await keys.revoke(database.pool, key_id)  # as another gateway does it
        assert (await client.get("/v1/me")).status_code == 200
        before = await count_keys(database)
        for path in ("/v1/keys", "/v1/admin/owners/ada/keys"):
            answer = await client.post(path, json={"name": "a"}, headers={"Idempotency-Key": path})
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"'
        assert await count_keys(database) == before


async def test_a_key_that_expires_is_refused_at_once_although_it_was_good_a_moment_ago(
    gateway: Gateway, database: Database
) -> None:
    key, _ = await keys.create(database.pool, "ada", expires_at=datetime.now(UTC) + timedelta(seconds=0.3))
    assert await gateway.keys.verify(database, key)

    async def refused() -> bool:
        return await gateway.keys.verify(database, key) is None

    async with asyncio.timeout(3):
        while not await refused():
            await asyncio.sleep(0.02)


async def test_a_key_revokes_itself_and_ends_here_at_once(app: FastAPI, database: Database) -> None:
    key, key_id = await keys.create(database.pool, "ada")
    async with bearer_of(app, key) as client:
        assert (await client.delete(f"/v1/keys/{key_id}")).status_code == 204
        assert (await client.get("/v1/me")).status_code == 401


@pytest.mark.parametrize("own", [["read"], ["write"]])
async def test_whoever_holds_a_key_can_end_it_and_no_other(app: FastAPI, database: Database, own: list[str]) -> None:
    key, key_id = await keys.create(database.pool, "ada", scopes=own)
    other, other_id = await keys.create(database.pool, "ada")
    async with bearer_of(app, key) as client:
        if "write" not in own:
            assert (await client.delete(f"/v1/keys/{other_id}")).status_code == 403
            assert (await client.delete(f"/v1/admin/keys/{key_id}")).status_code == 403
            assert (await client.delete(f"/v1/images/{key_id}")).status_code == 403
            assert await keys.verify(database.pool, other)
        assert (await client.delete(f"/v1/keys/{str(key_id).upper()}")).status_code == 204
    assert await keys.verify(database.pool, key) is None


async def test_a_key_is_shown_where_its_location_says(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/keys", json={"name": "laptop"})
    place, secret = answer.headers["location"], answer.json().pop("key")
    shown = await client.get(place)
    assert shown.status_code == 200
    assert shown.json() | {"key": secret} == answer.json()
    assert secret not in shown.text
    assert (await client.get(place, headers={"If-None-Match": shown.headers["etag"]})).status_code == 304
    await client.delete(place)
    assert (await client.get(place)).json()["revoked_at"]


async def test_revoking_again_changes_nothing_and_the_key_stays_in_the_list(client: httpx.AsyncClient) -> None:
    made = await make(client)
    for _ in range(2):
        assert (await client.delete(f"/v1/keys/{made['id']}")).status_code == 204
    [first, *_] = (await client.get("/v1/keys")).json()["items"]
    assert first["id"] == made["id"]
    assert first["revoked_at"]


async def test_somebody_elses_key_does_not_exist(client: httpx.AsyncClient, database: Database) -> None:
    key, key_id = await keys.create(database.pool, "bob")
    for method in ("GET", "DELETE"):
        assert (await client.request(method, f"/v1/keys/{key_id}")).status_code == 404
        assert (await client.request(method, f"/v1/keys/{uuid4()}")).status_code == 404
    assert await keys.verify(database.pool, key)


async def test_a_key_cannot_be_revoked_while_it_makes_another(database: Database) -> None:
    _, key_id = await keys.create(database.pool, "ada")
    async with database.transaction() as connection:
        assert await keys.hold(connection, key_id)
        revoking = asyncio.create_task(keys.revoke(database.pool, key_id))
        done, _ = await asyncio.wait([revoking], timeout=0.2)
        assert not done
    assert await revoking


def test_who_signed_in_makes_keys_that_outlast_the_token() -> None:
    token = Principal("ada", None, frozenset({"read", "write"}), NOW + timedelta(minutes=5))
    later = (NOW + timedelta(days=30)).isoformat()
    assert grant(token, KeyIn(name="a"), NOW) == (["read", "write"], None)
    assert grant(token, KeyIn(name="a", expires_at=later), NOW).expires_at == NOW + timedelta(days=30)
    with pytest.raises(ApiError, match="Scope missing"):
        grant(token, KeyIn(name="a", scopes=["admin"]), NOW)


def test_scopes_are_kept_once_and_in_their_order() -> None:
    key = Principal("ada", UUID(int=1), frozenset({"admin"}))
    assert grant(key, KeyIn(name="a", scopes=["write", "read", "write"]), NOW).scopes == ["read", "write"]
