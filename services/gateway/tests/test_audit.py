"""The record of calls: complete for those that change something or were refused, and never in their way."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from fastapi import FastAPI
from nats.js import JetStreamContext

from fluxline.postgres.pool import Database, DatabaseUnavailable
from fluxline_gateway.deps import Gateway
from fluxline_gateway.identity import audit, keys
from fluxline_gateway.identity.audit import Audit, Entry
from fluxline_gateway.migrations import SCHEMA
from polling import poll_until
from servers import NatsServer

from .bearers import caller
from .conftest import ClientOf
from .serving import served_gateway


def entry(owner: str | None = "ada", at: datetime | None = None, path: str = "/v1/keys") -> Entry:
    return Entry(at or datetime.now(UTC), owner, uuid4() if owner else None, "POST", path, 201, "203.0.113.7", "0" * 32)


async def recorded(gateway: Gateway) -> list[asyncpg.Record]:
    """All entries, oldest first."""
    await gateway.audit.flush(gateway.database)
    return list(await gateway.database.pool.fetch("SELECT * FROM key_audit ORDER BY id"))


async def test_a_call_that_changes_something_is_recorded_with_its_trace_and_without_its_query(
    client: httpx.AsyncClient, gateway: Gateway
) -> None:
    me = (await client.get("/v1/me")).json()
    made = await client.post("/v1/keys?token=sesame", json={"name": "laptop"})
    [row] = await recorded(gateway)
    assert (row["owner"], row["key_id"]) == ("ada", UUID(me["key_id"]))
    assert (row["method"], row["path"], row["status"]) == ("POST", "/v1/keys", 201)
    assert row["client"] == "127.0.0.1"
    assert row["trace_id"] == made.headers["traceparent"].split("-")[1]
    assert made.json()["key"] not in str(row)


async def test_reads_are_not_recorded_unless_they_are_refused(
    app: FastAPI, anonymous: httpx.AsyncClient, gateway: Gateway, database: Database
) -> None:
    async with caller(app, "ada", "read") as client:
        for path in ("/v1/me", "/v1/images", f"/v1/images/{uuid4()}"):
            await client.get(path)
        await client.options("/v1/images")
        assert (await client.get("/v1/admin/owners")).status_code == 403
    unknown = {"Authorization": "Bearer fl_" + "A" * 40}
    assert (await anonymous.get("/v1/images", headers=unknown)).status_code == 401
    refused, unauthorized = await recorded(gateway)
    assert (refused["owner"], refused["status"], refused["path"]) == ("ada", 403, "/v1/admin/owners")
    assert (unauthorized["owner"], unauthorized["key_id"], unauthorized["status"]) == (None, None, 401)


async def test_what_failed_is_recorded_with_its_status(app: FastAPI, gateway: Gateway) -> None:
    @app.post("/v1/crash")
    async def crash() -> None:
        raise ZeroDivisionError

    async with caller(app, "ada", "write") as client:
        statuses = [
            (await client.post("/v1/crash")).status_code,
            (await client.post("/v1/trainings", json={})).status_code,
            (await client.post("/v1/trainings", content=b"{")).status_code,
            (await client.delete(f"/v1/keys/{uuid4()}")).status_code,
            (await client.put("/v1/keys")).status_code,
            (await client.post("/v1/nowhere")).status_code,
            (await client.post("/v1/trainings", content=b"x" * 2_000_000)).status_code,
        ]
    assert statuses == [500, 422, 422, 404, 405, 404, 413]
    assert [row["status"] for row in await recorded(gateway)] == statuses


async def test_no_path_can_break_the_record_or_put_a_key_into_it(
    anonymous: httpx.AsyncClient, gateway: Gateway
) -> None:
    key = "fl_" + "A" * 40
    paths = ["/v1/%00", "/v1/%ff%fe", f"/v1/{key}", "/v1/" + "a" * 5000, "/v1/%0a%1b[31m", "/v1/ä"]
    for path in paths:
        await anonymous.post(path)
    rows = await recorded(gateway)
    assert len(rows) == len(paths)
    assert key not in str(rows)
    assert all(row["path"].isascii() and row["path"].isprintable() for row in rows)
    assert max(len(row["path"]) for row in rows) == audit.MAX_PATH_CHARS


async def test_entries_wait_for_the_database_up_to_a_number_and_the_rest_is_counted(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "MAX_WAITING", 5)
    waiting = Audit()
    for n in range(8):
        waiting.add(entry(path=f"/v1/{n}"))
    with pytest.raises(DatabaseUnavailable):
        await waiting.flush(Database("postgresql://nobody@127.0.0.1:1/none", SCHEMA))
    await waiting.flush(database)
    await waiting.flush(database)
    rows = await database.pool.fetch("SELECT path FROM key_audit ORDER BY id")
    assert [row["path"] for row in rows] == [f"/v1/{n}" for n in range(5)]
    assert waiting.dropped.labels("database")._value.get() == 3


async def test_a_flood_of_refusals_neither_fills_the_record_nor_hides_owners(database: Database) -> None:
    flooded = Audit()
    for _ in range(2):
        for _ in range(audit.MAX_FLOOD + 50):
            flooded.add(entry(None))
            flooded.add(entry("eve")._replace(status=429))
        flooded.add(entry("ada"))
        flooded.add(entry("eve"))
        await flooded.flush(database)
    count = "SELECT count(*) FROM key_audit WHERE owner IS NOT DISTINCT FROM $1"
    for owner, expected in ((None, 200), ("eve", 202), ("ada", 2)):
        assert await database.pool.fetchval(count, owner) == expected
    assert flooded.dropped.labels("flood")._value.get() == 200


async def test_more_than_a_batch_is_written_at_once(database: Database) -> None:
    many = Audit()
    for n in range(2500):
        many.add(entry(path=f"/v1/{n}"))
    await many.flush(database)
    assert await database.pool.fetchval("SELECT count(DISTINCT path) FROM key_audit") == 2500


async def test_entries_are_kept_for_ninety_days(database: Database) -> None:
    kept = Audit()
    for days in (91, 89):
        kept.add(entry(at=datetime.now(UTC) - timedelta(days=days), path=f"/v1/{days}"))
    await kept.flush(database)
    await audit.purge(database.pool)
    assert [row["path"] for row in await database.pool.fetch("SELECT path FROM key_audit")] == ["/v1/89"]


async def pages_of(client: httpx.AsyncClient, url: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while url:
        answer = await client.get(url)
        assert answer.status_code == 200, answer.text
        found += answer.json()["items"]
        url = answer.links.get("next", {}).get("url", "")
    return found


async def test_an_owner_reads_its_own_entries_newest_first_over_pages(
    client: httpx.AsyncClient, gateway: Gateway, database: Database
) -> None:
    at = datetime(2026, 11, 25, tzinfo=UTC)
    for n in range(7):  # by threes at one moment
        gateway.audit.add(entry(at=at + timedelta(seconds=n // 3), path=f"/v1/{n}"))
    gateway.audit.add(entry("bob"))
    gateway.audit.add(entry(None))
    await gateway.audit.flush(database)
    found = await pages_of(client, "/v1/audit?limit=2")
    assert [item["path"] for item in found] == [f"/v1/{n}" for n in (6, 5, 4, 3, 2, 1, 0)]
    assert {item["owner"] for item in found} == {"ada"}


@pytest.mark.parametrize("path", ["/v1/audit", "/v1/admin/audit", "/v1/admin/owners"])
@pytest.mark.parametrize(
    "cursor",
    ["x", "W10", "WyIyMDI2LTExLTI1VDEwOjAwOjAwKzAwOjAwIiwgIjkyMjMzNzIwMzY4NTQ3NzU4MDgiXQ", "WyJCYWQgbmFtZSJd", "e30"],
)
async def test_a_cursor_of_something_else_is_refused(app: FastAPI, path: str, cursor: str) -> None:
    async with caller(app, "ada", "admin") as client:
        answer = await client.get(path, params={"cursor": cursor})
        assert answer.status_code == 422
        assert [error["field"] for error in answer.json()["errors"]] == ["cursor"]


async def test_an_administrator_reads_everybodys_entries_or_one_owners(
    app: FastAPI, gateway: Gateway, database: Database, client_of: ClientOf
) -> None:
    async with client_of("bob") as bob, caller(app, "root", "admin") as root:
        await bob.post("/v1/keys", json={"name": "a"})
        await bob.get("/v1/admin/owners")
        await root.patch("/v1/admin/owners/bob", json={"max_running": 1})
        await gateway.audit.flush(database)
        found = await pages_of(root, "/v1/admin/audit?limit=1")
        assert [(item["owner"], item["status"]) for item in found] == [("root", 200), ("bob", 403), ("bob", 201)]
        assert [item["owner"] for item in await pages_of(root, "/v1/admin/audit?owner=root")] == ["root"]
        assert await pages_of(root, "/v1/admin/audit?owner=nobody") == []


async def test_a_running_gateway_writes_each_second_and_once_more_at_its_end(
    nats: NatsServer, jetstream: JetStreamContext, database_url: str, database: Database, tmp_path: Path
) -> None:
    async with served_gateway(nats.url, database_url, tmp_path) as served:
        assert (await served.client.post("/v1/keys", json={"name": "first"})).status_code == 201

        async def shown() -> list[Any]:
            items: list[Any] = (await served.client.get("/v1/audit")).json()["items"]
            return items

        [first] = await poll_until(shown)
        assert first["client"] == "127.0.0.1"
        key_id = first["key_id"]
        assert (await served.client.delete(f"/v1/keys/{key_id}")).status_code == 204
    statuses = [row["status"] for row in await database.pool.fetch("SELECT status FROM key_audit ORDER BY id")]
    assert statuses == [201, 204]
    record = await keys.find(database.pool, UUID(key_id))
    assert record
    assert record.last_used_at
