"""`GET /v1/me`: whom a key speaks for, until when, and how the owner stands."""

from datetime import UTC, datetime, timedelta

import httpx

from fluxline.postgres.pool import Database

from .jobs import order_of


async def test_a_key_knows_whose_it_is_and_what_may_be_spent(client: httpx.AsyncClient, database: Database) -> None:
    await database.pool.execute("INSERT INTO owners (owner, spend_cap_usd, max_running) VALUES ('ada', 10, 2)")
    assert (await client.post("/v1/trainings", json=await order_of(database))).status_code == 202
    me = (await client.get("/v1/me")).json()
    assert (me["owner"], me["expires_at"], me["running"]) == ("ada", None, {"now": 1, "limit": 2})
    spend = me["spend"]
    assert (spend["cap_usd"], spend["spent_usd"]) == (10, 0)
    assert spend["reserved_usd"] + spend["remaining_usd"] == 10


async def test_a_key_that_ends_says_when(client: httpx.AsyncClient, database: Database) -> None:
    end = datetime.now(UTC) + timedelta(days=1)
    await database.pool.execute("UPDATE api_keys SET expires_at = $1", end)
    assert datetime.fromisoformat((await client.get("/v1/me")).json()["expires_at"]) == end


async def test_without_a_key_nobody_is_told(anonymous: httpx.AsyncClient) -> None:
    assert (await anonymous.get("/v1/me")).status_code == 401
