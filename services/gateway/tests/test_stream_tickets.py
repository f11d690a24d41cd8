"""Tickets: an EventSource without a header reads one training's events for an hour, and nothing else."""

import asyncio
import time
from urllib.parse import quote
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from fluxline.postgres.pool import Database
from fluxline.runtime.telemetry import make_tracer_provider
from fluxline_gateway.api import make_app
from fluxline_gateway.app import routers
from fluxline_gateway.deps import Gateway
from fluxline_gateway.errors import ApiError
from fluxline_gateway.live.stream_tickets import LIFETIME_S, StreamTickets

from .conftest import URL
from .jobs import ClientOf, order_of

JSON = {"Accept": "application/json"}


async def new_training(client: httpx.AsyncClient, database: Database) -> str:
    answer = await client.post("/v1/trainings", json=await order_of(database))
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


@pytest.fixture
async def training_id(client: httpx.AsyncClient, database: Database) -> str:
    return await new_training(client, database)


async def ticket_to(client: httpx.AsyncClient, training_id: str) -> str:
    answer = await client.post(f"/v1/trainings/{training_id}/events/ticket")
    assert answer.status_code == 201, answer.text
    assert answer.headers["cache-control"] == "no-store"
    url: str = answer.json()["url"]
    assert url.startswith(f"/v1/trainings/{training_id}/events?ticket=")
    return url


async def test_a_ticket_opens_the_stream_and_its_history_without_a_key(
    client: httpx.AsyncClient, anonymous: httpx.AsyncClient, training_id: str
) -> None:
    url = await ticket_to(client, training_id)
    assert (await anonymous.get(url, headers=JSON)).json() == {"items": [], "next_cursor": None}
    assert (await anonymous.delete(f"/v1/trainings/{training_id}")).status_code == 401


async def test_what_a_ticket_opens_counts_as_its_owners_request(
    client_of: ClientOf, anonymous: httpx.AsyncClient, gateway: Gateway, database: Database
) -> None:
    await database.pool.execute("INSERT INTO owners (owner, requests_per_minute) VALUES ('bob', 3)")
    async with client_of("bob") as bob:
        training = await bob.post("/v1/trainings", json=await order_of(database, "bob"))
        url = await ticket_to(bob, training.json()["id"])
    assert [(await anonymous.get(url, headers=JSON)).status_code for _ in range(2)] == [200, 429]
    await gateway.audit.flush(database)
    refused = await database.pool.fetch("SELECT owner, key_id, path FROM key_audit WHERE status = 429")
    assert [tuple(row) for row in refused] == [("bob", None, url.partition("?")[0])]


async def test_a_ticket_opens_nothing_else(
    client: httpx.AsyncClient, anonymous: httpx.AsyncClient, database: Database, training_id: str
) -> None:
    ticket = (await ticket_to(client, training_id)).partition("?")[2]
    other = await new_training(client, database)
    for path in (f"/v1/trainings/{other}/events", f"/v1/trainings/{training_id}", "/v1/trainings", "/v1/me"):
        assert (await anonymous.get(f"{path}?{ticket}", headers=JSON)).status_code == 401, path
    for path in (f"/v1/trainings/{training_id}/cancel", f"/v1/trainings/{training_id}/events/ticket"):
        assert (await anonymous.post(f"{path}?{ticket}")).status_code == 401, path


async def test_a_ticket_is_for_its_owners_training_only(client_of: ClientOf, training_id: str) -> None:
    async with client_of("bob") as bob:
        answer = await bob.post(f"/v1/trainings/{training_id}/events/ticket")
    assert (answer.status_code, answer.json()["title"]) == (404, "Training not found")


@pytest.mark.parametrize(
    "forge",
    [
        lambda ticket: ticket[:-1] + ("A" if ticket[-1] != "A" else "Q"),
        lambda ticket: str(int(ticket.partition(".")[0]) + 1) + ticket[ticket.index(".") :],
        lambda ticket: ticket.replace(".ada.", ".bob."),
        lambda ticket: ticket.rpartition(".")[0] + ".",
        lambda ticket: "..",
        lambda ticket: "é.ü.\x00\n",
        lambda ticket: "A" * 5000,
    ],
)
async def test_a_forged_ticket_is_refused_with_what_to_do(
    client: httpx.AsyncClient, anonymous: httpx.AsyncClient, training_id: str, forge: object
) -> None:
    url = await ticket_to(client, training_id)
    path, _, ticket = url.partition("?ticket=")
    answer = await anonymous.get(f"{path}?ticket={quote(forge(ticket))}", headers=JSON)  # type: ignore[operator]
    assert (answer.status_code, answer.json()["title"]) == (401, "Ticket not valid")
    assert "POST /v1/trainings/{id}/events/ticket" in answer.json()["hint"]
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert "ticket=" not in answer.text


async def test_a_ticket_ends_after_an_hour(database: Database) -> None:
    tickets, training_id, now = StreamTickets(), uuid4(), time.time()
    ticket, expires = await tickets.issue(database, training_id, "ada", now)
    assert expires == int(now) + LIFETIME_S
    assert await tickets.owner_of(database, training_id, ticket, expires - 0.1) == "ada"
    with pytest.raises(ApiError, match="Ticket expired"):
        await tickets.owner_of(database, training_id, ticket, expires)


async def test_replicas_that_start_at_once_take_each_others_tickets(database: Database) -> None:
    replicas, training_id, now = [StreamTickets() for _ in range(8)], uuid4(), time.time()
    tickets = await asyncio.gather(*(replica.issue(database, training_id, "ada", now) for replica in replicas))
    assert len(set(tickets)) == 1
    assert await replicas[0].owner_of(database, training_id, tickets[1][0], now) == "ada"


async def test_a_key_that_is_sent_counts_and_not_the_ticket(
    client: httpx.AsyncClient, client_of: ClientOf, training_id: str
) -> None:
    url = await ticket_to(client, training_id)
    assert (await client.get(f"/v1/trainings/{training_id}/events?ticket=x", headers=JSON)).status_code == 200
    async with client_of("bob") as bob:
        assert (await bob.get(url, headers=JSON)).status_code == 404


@pytest.mark.parametrize("name", ["ticket", "%74icket", "limit=1&ticket"])
async def test_a_ticket_is_in_no_trace_and_no_log(
    gateway: Gateway,
    client: httpx.AsyncClient,
    training_id: str,
    name: str,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    path, _, ticket = (await ticket_to(client, training_id)).partition("?ticket=")
    spans, provider = InMemorySpanExporter(), make_tracer_provider("gateway", None)
    provider.add_span_processor(SimpleSpanProcessor(spans))
    app: FastAPI = make_app(gateway, routers(gateway.storage), probes={}, tracer_provider=provider)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=URL) as browser:
        assert (await browser.get(f"{path}?{name}={ticket}", headers=JSON)).status_code == 200
        assert (await browser.get(f"{path}?{name}={ticket}x", headers=JSON)).status_code == 401
        assert (await browser.get("/v1/me?limit=1")).status_code == 401
    told = [str(dict(span.attributes or {})) for span in spans.get_finished_spans()]
    assert any("limit=1" in text for text in told)
    printed = "".join(capfd.readouterr())
    signature = ticket.rpartition(".")[2]
    assert not [text for text in (*told, caplog.text, printed) if signature in text]


async def test_the_document_says_that_a_ticket_opens_the_stream(anonymous: httpx.AsyncClient) -> None:
    document = (await anonymous.get("/openapi.json")).json()
    ways = document["paths"]["/v1/trainings/{training_id}/events"]["get"]["security"]
    assert [sorted(way) for way in ways] == [["api_key"], ["stream_ticket"]]
    scheme = document["components"]["securitySchemes"]["stream_ticket"]
    assert (scheme["type"], scheme["in"], scheme["name"]) == ("apiKey", "query", "ticket")
