"""API keys: made once, stored as hashes, refused when they are not good."""

import json
import subprocess
import sys

import httpx
import pytest

from fluxline.postgres.pool import Database
from fluxline_gateway import key_cache, keys
from fluxline_gateway.errors import PROBLEM_JSON

KEY = "fl_" + "A" * 40


def run_keys(database_url: str | None, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "fluxline_gateway.keys", *arguments],
        env={"DATABASE_URL": database_url} if database_url else {},
        capture_output=True,
        text=True,
        timeout=60,
    )


async def test_a_key_speaks_for_its_owner(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/me")
    assert answer.status_code == 200
    assert answer.json()["owner"] == "ada"
    assert answer.json()["scopes"] == ["read", "write"]


async def test_a_key_is_stored_only_as_its_hash(database: Database) -> None:
    key, key_id = await keys.create(database.pool, "ada")
    assert keys._KEY.fullmatch(key)
    stored = await database.pool.fetchrow("SELECT * FROM api_keys WHERE id = $1", key_id)
    assert stored is not None
    assert key not in str(stored)


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer ", f"Basic {KEY}", f"Bearer {KEY}", "Bearer fl_short", f"Bearer {KEY}x", "Bearer é"],
)
async def test_a_request_without_a_good_key_is_refused_with_a_hint(
    anonymous: httpx.AsyncClient, authorization: str | None
) -> None:
    headers = {} if authorization is None else {b"Authorization": authorization.encode()}
    answer = await anonymous.get("/v1/me", headers=headers)
    problem = answer.json()
    assert answer.status_code == problem["status"] == 401
    assert answer.headers["content-type"] == PROBLEM_JSON
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert problem["category"] == "authentication"
    assert "fluxline keys create" in problem["hint"]
    assert KEY not in answer.text


async def test_a_revoked_key_ends(database: Database) -> None:
    key, key_id = await keys.create(database.pool, "ada")
    assert await keys.revoke(database.pool, key_id)
    assert await keys.verify(database.pool, key) is None
    assert not await keys.revoke(database.pool, key_id)


async def test_an_expired_key_ends(database: Database) -> None:
    key, key_id = await keys.create(database.pool, "ada")
    await database.pool.execute("UPDATE api_keys SET expires_at = now() - interval '1 s' WHERE id = $1", key_id)
    assert await keys.verify(database.pool, key) is None


async def test_the_cache_asks_the_database_once_and_notices_a_revocation_after_its_time(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, key_id = await keys.create(database.pool, "ada")
    cache = key_cache.KeyCache()
    first = await cache.verify(database, key)
    await keys.revoke(database.pool, key_id)
    assert first == await cache.verify(database, key)
    monkeypatch.setattr(key_cache, "CACHE_S", 0.0)
    assert await cache.verify(database, key) is None


async def test_the_command_line_makes_lists_and_revokes_keys(database: Database) -> None:
    made = json.loads(run_keys(database.url, "create", "--owner", "ada", "--json").stdout)
    principal = await keys.verify(database.pool, made["key"])
    assert principal
    assert (principal.owner, str(principal.key_id)) == (made["owner"], made["id"]) == ("ada", made["id"])
    listed = run_keys(database.url, "list").stdout
    assert made["id"] in listed
    assert made["key"] not in listed
    assert run_keys(database.url, "revoke", made["id"]).returncode == 0
    assert await keys.verify(database.pool, made["key"]) is None


def test_the_command_line_says_what_to_do(database_url: str) -> None:
    for url, arguments, expected in (
        (None, ["create", "--owner", "ada"], "DATABASE_URL"),
        (database_url, ["create", "--owner", "ada"], "fluxline.postgres.migrate"),
        (database_url, ["create", "--owner", "../ada"], "--owner"),
        ("postgresql://gateway@127.0.0.1:1/none", ["list"], "check DATABASE_URL"),
    ):
        done = run_keys(url, *arguments)
        assert done.returncode == 1
        assert expected in done.stderr
        assert "Traceback" not in done.stderr
