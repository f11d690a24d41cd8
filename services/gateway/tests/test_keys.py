"""API keys: made once, stored as hashes, refused when they are not good."""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from fluxline.postgres.pool import Database
from fluxline_gateway.errors import PROBLEM_JSON
from fluxline_gateway.identity import key_cache, keys

KEY = "fl_" + "A" * 40


def run_keys(database_url: str | None, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "fluxline_gateway.identity.keys", *arguments],
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


class Counted:
    """Counts what `keys.verify` is asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.queries = 0
        self._verify = keys.verify
        monkeypatch.setattr(keys, "verify", self)

    async def __call__(self, connection: keys.Executor, key: str) -> keys.Principal | None:
        self.queries += 1
        return await self._verify(connection, key)


async def test_an_unknown_key_costs_one_query_however_often_it_is_sent_within_seconds(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted, cache = Counted(monkeypatch), key_cache.KeyCache()
    for _ in range(20):
        assert await cache.verify(database, KEY) is None
    assert counted.queries == 1
    monkeypatch.setattr(key_cache, "UNKNOWN_S", 0.0)
    assert await cache.verify(database, KEY) is None
    assert counted.queries == 2
    assert await cache.verify(database, "fl_short") is None
    assert counted.queries == 2


async def test_what_is_cached_of_keys_is_bounded(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_cache, "MAX_CACHED", 3)
    cache = key_cache.KeyCache()
    for n in range(10):
        await cache.verify(database, f"fl_{n:040}")
        key, _ = await keys.create(database.pool, "ada")
        assert await cache.verify(database, key)
    assert len(cache._known) <= 3
    assert len(cache._unknown) <= 3


async def test_the_command_line_gives_a_key_a_name_scopes_and_an_end(database: Database) -> None:
    options = ["--name", "laptop", "--scope", "admin", "--scope", "read", "--expires-days", "2", "--json"]
    made = json.loads(run_keys(database.url, "create", "--owner", "ada", *options).stdout)
    [listed] = [json.loads(line) for line in run_keys(database.url, "list", "--owner", "ada").stdout.splitlines()]
    assert (listed["name"], listed["scopes"], listed["hint"]) == ("laptop", ["read", "admin"], made["key"][:6])
    assert listed["expires_at"] == made["expires_at"]
    assert timedelta(days=1) < datetime.fromisoformat(made["expires_at"]) - datetime.now(UTC) <= timedelta(days=2)
    for wrong in (["--scope", "root"], ["--expires-days", "0"], ["--expires-days", "x"]):
        assert run_keys(database.url, "create", "--owner", "ada", *wrong).returncode == 2


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


def test_the_command_line_says_what_to_do(empty_database_url: str) -> None:
    for url, arguments, expected in (
        (None, ["create", "--owner", "ada"], "DATABASE_URL"),
        (empty_database_url, ["create", "--owner", "ada"], "fluxline.postgres.migrate"),
        (empty_database_url, ["create", "--owner", "../ada"], "--owner"),
        ("postgresql://gateway@127.0.0.1:1/none", ["list"], "check DATABASE_URL"),
    ):
        done = run_keys(url, *arguments)
        assert done.returncode == 1
        assert expected in done.stderr
        assert "Traceback" not in done.stderr
