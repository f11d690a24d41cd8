"""The API of deliveries: what was sent, what came of it, once more please; and the secret."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from nats.js import JetStreamContext
from prometheus_client import CollectorRegistry
from pydantic import ValidationError

from fluxline.postgres.pool import Database
from fluxline_gateway.settings import GatewaySettings
from fluxline_gateway.webhooks.post import Poster
from fluxline_gateway.webhooks.sender import WebhookSender
from polling import poll_until
from servers import NatsServer

from .jobs import ClientOf, order_of
from .serving import served_gateway
from .webhook_receiver import Receiver, receiving, says

DELIVERIES = "/v1/webhooks/deliveries"
HOOK = "https://hooks.example.com/fluxline"
_DELIVERY = """
INSERT INTO webhook_deliveries (id, owner, url, type, payload, status) VALUES ($1, $2, $3, $4, $5, $6) RETURNING id
"""


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


async def add(database: Database, owner: str = "ada", status: str = "delivered", url: str = HOOK) -> str:
    facts = ("training.failed", '{"type": "training.failed"}', status)
    return str(await database.pool.fetchval(_DELIVERY, uuid4(), owner, url, *facts))


async def listed(client: httpx.AsyncClient, **query: Any) -> list[str]:
    answer = await client.get(DELIVERIES, params=query)
    assert answer.status_code == 200, answer.text
    return [item["id"] for item in answer.json()["items"]]


async def test_deliveries_are_listed_newest_first_page_by_page(client: httpx.AsyncClient, database: Database) -> None:
    made = [await add(database) for _ in range(5)]
    seen, cursor = [], None
    while True:
        answer = await client.get(DELIVERIES, params={"limit": 2} | ({"cursor": cursor} if cursor else {}))
        seen += [item["id"] for item in answer.json()["items"]]
        cursor = answer.json()["next_cursor"]
        if cursor is None:
            break
        assert f"cursor={cursor}" in answer.headers["link"]
    assert seen == made[::-1]


async def test_deliveries_are_filtered_by_training_and_status(client: httpx.AsyncClient, database: Database) -> None:
    answer = await client.post("/v1/trainings", json=await order_of(database))
    one, other = await add(database, status="failed"), await add(database, status="pending")
    training_id = answer.json()["id"]
    await database.pool.execute("UPDATE webhook_deliveries SET training_id = $1 WHERE id = $2", training_id, one)
    assert await listed(client, training_id=training_id) == [one]
    assert await listed(client, status="pending") == [other]
    assert await listed(client, training_id=training_id, status="pending") == []
    assert (await client.get(DELIVERIES, params={"status": "lost"})).status_code == 422


async def test_somebody_elses_deliveries_do_not_exist(client_of: ClientOf, database: Database) -> None:
    delivery_id = await add(database)
    async with client_of("bob") as bob:
        assert await listed(bob) == []
        for method, path in (("GET", ""), ("POST", "/redeliver")):
            answer = await bob.request(method, f"{DELIVERIES}/{delivery_id}{path}")
            assert (answer.status_code, answer.json()["title"]) == (404, "Delivery not found")


async def test_a_delivery_shows_what_it_says_and_each_attempt(
    client: httpx.AsyncClient, database: Database, receiver: Receiver
) -> None:
    sender = WebhookSender(database, CollectorRegistry(), Poster([receiver.origin]))
    delivery_id = await add(database, url=receiver.url)
    for status in (503, 200):
        receiver.answer = says(status, "hm")
        again = await client.post(f"{DELIVERIES}/{delivery_id}/redeliver")
        assert (again.status_code, again.json()["status"], again.json()["ended_at"]) == (202, "pending", None)
        await sender.send_due()
    shown = (await client.get(f"{DELIVERIES}/{delivery_id}")).json()
    assert (shown["status"], shown["attempts"], shown["payload"]) == ("delivered", 2, {"type": "training.failed"})
    assert [(one["number"], one["status_code"], one["answer"]) for one in shown["log"]] == [
        (1, 503, "hm"),
        (2, 200, "hm"),
    ]
    assert shown["log"][0]["error"] == "The receiver answered 503."


async def test_redelivering_begins_the_schedule_anew_and_keeps_the_id(
    client: httpx.AsyncClient, database: Database, receiver: Receiver
) -> None:
    receiver.answer = says(500)
    sender = WebhookSender(database, CollectorRegistry(), Poster([receiver.origin]), schedule_s=(60.0,))
    delivery_id = await add(database, status="failed", url=receiver.url)
    for _ in range(3):
        for _ in range(2):  # asking twice is asking once
            await client.post(f"{DELIVERIES}/{delivery_id}/redeliver")
        assert [await sender.send_due(), await sender.send_due()] == [1, 0]
        assert (await client.get(f"{DELIVERIES}/{delivery_id}")).json()["status"] == "pending"
    assert [arrived.id for arrived in receiver.arrived] == [delivery_id] * 3


async def test_a_secret_is_made_once_and_is_the_owners_own(client: httpx.AsyncClient, client_of: ClientOf) -> None:
    first, second = [await client.get("/v1/webhooks/secret") for _ in range(2)]
    assert first.json() == second.json()
    assert first.json()["secret"].startswith("whsec_")
    assert first.json()["previous_expires_at"] is None
    assert first.headers["cache-control"] == "no-store"
    async with client_of("bob") as bob:
        assert (await bob.get("/v1/webhooks/secret")).json()["secret"] != first.json()["secret"]


async def test_rotating_makes_a_new_secret_and_says_how_long_the_old_one_signs(client: httpx.AsyncClient) -> None:
    old = (await client.get("/v1/webhooks/secret")).json()
    answer = await client.post("/v1/webhooks/secret/rotate")
    assert answer.status_code == 200, answer.text
    new = answer.json()
    assert new["secret"] != old["secret"]
    assert new["previous_expires_at"] > new["created_at"]
    assert (await client.get("/v1/webhooks/secret")).json() == new


async def test_the_secret_is_not_for_keys_that_only_read(client: httpx.AsyncClient, database: Database) -> None:
    await database.pool.execute("UPDATE api_keys SET scopes = '{read}'")
    answer = await client.get("/v1/webhooks/secret")
    assert (answer.status_code, answer.json()["title"]) == (403, "Scope missing")
    assert answer.headers["www-authenticate"] == 'Bearer error="insufficient_scope", scope="write"'
    assert await database.pool.fetchval("SELECT count(*) FROM webhook_secrets") == 0
    assert (await client.get(DELIVERIES)).status_code == 200


async def test_a_test_is_sent_once_for_one_idempotency_key(client: httpx.AsyncClient, database: Database) -> None:
    headers = {"Idempotency-Key": "mine"}
    one, other = [await client.post("/v1/webhooks/test", json={"url": HOOK}, headers=headers) for _ in range(2)]
    assert (one.status_code, one.json()) == (202, other.json())
    assert one.headers["location"] == f"{DELIVERIES}/{one.json()['id']}"
    assert await listed(client) == [one.json()["id"]]


@pytest.mark.parametrize(
    "body", [{}, {"url": "hooks"}, {"url": "https://a:b@hooks.example.com/"}, {"url": HOOK, "x": 1}]
)
async def test_a_test_needs_a_url(client: httpx.AsyncClient, body: dict[str, Any]) -> None:
    assert (await client.post("/v1/webhooks/test", json=body)).status_code == 422


async def test_a_running_gateway_sends_to_receivers_that_its_operator_has_exempted(
    nats: NatsServer, jetstream: JetStreamContext, database_url: str, tmp_path: Path, receiver: Receiver
) -> None:
    origins = (receiver.origin,)
    async with served_gateway(nats.url, database_url, tmp_path, webhook_origins=origins) as served:
        answer = await served.client.post("/v1/webhooks/test", json={"url": receiver.url})
        assert answer.status_code == 202, answer.text

        async def shown() -> dict[str, Any] | None:
            found: dict[str, Any] = (await served.client.get(answer.headers["location"])).json()
            return found if found["status"] != "pending" else None

        assert (await poll_until(shown))["log"][0]["status_code"] == 200
        secret = (await served.client.get("/v1/webhooks/secret")).json()["secret"]
        assert receiver.arrived[0].verified(secret)["type"] == "webhook.test"
        order = await order_of(served.gateway.database, webhook_url=receiver.url)
        assert (await served.client.post("/v1/trainings", json=order)).status_code == 202
        refused = await served.client.post("/v1/webhooks/test", json={"url": f"http://localhost:{receiver.port}/"})
        assert refused.status_code == 422


@pytest.mark.parametrize(
    "origin", ["127.0.0.1:9000", "http://a.test/", "http://A.test", "ftp://a.test", "http://a.test:80"]
)
def test_origins_are_checked_at_the_start(origin: str, settings: GatewaySettings) -> None:
    with pytest.raises(ValidationError, match="webhook_origins"):
        GatewaySettings(**settings.model_dump() | {"webhook_origins": (origin,)}, _env_file=None)
