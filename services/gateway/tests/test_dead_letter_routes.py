"""Dead letters and the health of services over HTTP, with a real NATS: for operators alone."""

import dataclasses
import json
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI
from nats.js import JetStreamContext

from fluxline.contracts.catalog import CONSUMERS
from fluxline.runtime.bus import Bus
from fluxline.runtime.telemetry import make_tracer_provider
from fluxline_gateway.deps import Gateway
from fluxline_gateway.examples import TRAINING_ID
from servers import NatsServer

from .bearers import caller
from .documented import CALLS, JSON, Call, complaints

PREFIX = "/v1/admin/dead-letters"
OURS = [call for call in CALLS if call.path.startswith((PREFIX, "/v1/admin/health"))]
REASON = {"dlq-subject": "zip.created", "dlq-event-id": "e1", "dlq-category": "internal", "dlq-reason": "KeyError"}


@pytest.fixture
async def operator(
    app: FastAPI, gateway: Gateway, nats: NatsServer, jetstream: JetStreamContext
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of scope `admin`; the gateway is connected."""
    bus = Bus("gateway", nats.url, make_tracer_provider("gateway", None))
    await bus.broker.connect()
    app.state.gateway = dataclasses.replace(gateway, bus=bus)
    async with caller(app, "ada", "admin") as client:
        yield client
    bus.stopping = True
    await bus.broker.stop()


async def bury(jetstream: JetStreamContext, durable: str = "trainer", **facts: str) -> int:
    body = json.dumps({"training_id": TRAINING_ID, **facts}).encode()
    headers = {**REASON, "dlq-attempts": "5", "ce-type": "zip.created"}
    return (await jetstream.publish(f"dlq.{durable}", body, headers=headers)).seq


def fits(answer: httpx.Response, name: str) -> None:
    """That the answer is one of those that the document shows."""
    [call] = [call for call in OURS if call.name == name]
    assert answer.status_code in call.successes, answer.text
    if answer.content:
        assert complaints(answer.json(), call.successes[answer.status_code]["content"][JSON]["schema"]) == []


async def test_letters_are_listed_by_page_and_by_consumer(
    operator: httpx.AsyncClient, jetstream: JetStreamContext
) -> None:
    numbers = [await bury(jetstream, durable) for durable in ("trainer", "zipper", "trainer")]
    first = await operator.get(PREFIX, params={"limit": 2})
    fits(first, "list_dead_letters")
    assert [item["number"] for item in first.json()["items"]] == numbers[:2]
    rest = (await operator.get(PREFIX, params={"limit": 2, "cursor": first.json()["next_cursor"]})).json()
    assert ([item["number"] for item in rest["items"]], rest["next_cursor"]) == (numbers[2:], None)
    [zipped] = (await operator.get(PREFIX, params={"durable": "zipper"})).json()["items"]
    assert (zipped["training_id"], zipped["attempts"], zipped["reason"]) == (TRAINING_ID, 5, "KeyError")
    assert (await operator.get(PREFIX, params={"durable": "a.>"})).status_code == 422


async def test_a_letter_is_shown_without_secrets(operator: httpx.AsyncClient, jetstream: JetStreamContext) -> None:
    number = await bury(jetstream, api_token="r8_" + "a" * 37)
    shown = await operator.get(f"{PREFIX}/{number}")
    fits(shown, "get_dead_letter")
    assert shown.json()["headers"] == {"ce-type": "zip.created"}
    assert "r8_" not in shown.text


async def test_a_letter_is_replayed_once(operator: httpx.AsyncClient, jetstream: JetStreamContext) -> None:
    number = await bury(jetstream)
    replayed = await operator.post(f"{PREFIX}/{number}/replay")
    fits(replayed, "replay_dead_letter")
    message = await jetstream.get_msg("EVENTS", int(replayed.json()["event"]))
    assert (message.subject, replayed.json()["repeated"]) == ("zip.created", False)
    assert (await operator.post(f"{PREFIX}/{number}/replay")).status_code == 404


async def test_a_letter_is_dropped_for_good(operator: httpx.AsyncClient, jetstream: JetStreamContext) -> None:
    number = await bury(jetstream)
    fits(await operator.delete(f"{PREFIX}/{number}"), "drop_dead_letter")
    assert (await operator.delete(f"{PREFIX}/{number}")).status_code == 404
    assert (await operator.get(f"{PREFIX}/{number}")).status_code == 404


async def test_health_says_who_listens_and_how_much_waits(
    operator: httpx.AsyncClient, jetstream: JetStreamContext
) -> None:
    await jetstream.publish("zip.created", b"{}", headers={"ce-type": "zip.created"})
    answer = await operator.get("/v1/admin/health")
    fits(answer, "get_health")
    consumers = {item["durable"]: item for service in answer.json()["services"] for item in service["consumers"]}
    assert set(consumers) == {consumer.durable for consumer in CONSUMERS}
    assert (consumers["trainer"]["pending"], consumers["trainer"]["listening"]) == (1, False)
    assert consumers["zipper"]["pending"] == 0
    await jetstream.delete_consumer("EVENTS", "trainer")
    again = (await operator.get("/v1/admin/health")).json()["services"]
    assert not next(service for service in again if service["service"] == "trainer")["listening"]


@pytest.mark.parametrize("call", OURS, ids=lambda call: call.name)
async def test_only_operators_may(app: FastAPI, call: Call) -> None:
    async with caller(app, "ada", "read", "write") as client:
        assert (await client.request(call.method, call.path.replace("{number}", "1"))).status_code == 403


@pytest.mark.parametrize("call", OURS, ids=lambda call: call.name)
async def test_without_nats_operators_are_told_so(app: FastAPI, call: Call) -> None:
    async with caller(app, "ada", "admin") as client:
        answer = await client.request(call.method, call.path.replace("{number}", "1"))
    assert (answer.status_code, answer.json()["category"]) == (503, "network")
