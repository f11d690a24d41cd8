"""Every example of a request in the OpenAPI document is sent, and answered as the document says."""

import dataclasses
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from nats.js import JetStreamContext
from standardwebhooks import Webhook

from fluxline.contracts.logs import LogPage
from fluxline_gateway.deps import Gateway
from servers import NatsServer

from .conftest import URL
from .documented import CALLS, JSON, Call, Sent, complaints, resolved
from .example_world import key_of, make_world
from .serving import served_gateway

STATUS_OF_TRAINING = {"cancel_training": "requested", "retry_training": "failed"}
"""Where a call is about a training that has not completed."""
STATUS_OF_GENERATION = {"cancel_generation": "requested"}
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OF_NATS = ("/v1/admin/dead-letters", "/v1/admin/health")
"""Calls that ask NATS, which is down here: test_dead_letter_routes.py has them."""
SENT = [(call, sent) for call in CALLS if not call.path.startswith(OF_NATS) for sent in call.sent()]
SIGNED = [pair for pair in SENT if "provider_signature" in pair[0].schemes]
READS = [pair for pair in SENT if pair[0].method == "GET"]
CHANGES = [pair for pair in SENT if pair not in READS and pair not in SIGNED]

COLLECTED = {"summary": "get_training_debug", "timeline": "get_training_timeline"}
"""Whose example the collector answers with, by the end of the path that it is asked for."""


def name_of(value: Call | Sent) -> str:
    return value.name


@pytest.fixture
async def caller(app: FastAPI, gateway: Gateway) -> AsyncIterator[httpx.AsyncClient]:
    """A client whose key may do everything; the debug-collector behind the gateway says what its examples say."""
    key = await key_of(gateway, "ada", "read", "write", "admin")
    async with httpx.AsyncClient(transport=httpx.MockTransport(collector)) as http:
        app.state.gateway = dataclasses.replace(gateway, http=http)
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        headers = {"Authorization": f"Bearer {key}"}
        async with httpx.AsyncClient(transport=transport, base_url=URL, headers=headers) as client:
            yield client


def collector(request: httpx.Request) -> httpx.Response:
    if request.url.path.endswith("/logs"):
        return httpx.Response(200, json=LogPage.model_json_schema()["examples"][0])
    path = request.url.path
    name = COLLECTED.get(path.rpartition("/")[2])
    call = next((call for call in CALLS if call.name == name or call.path == path.replace("/v1/", "/v1/admin/")), None)
    if call is None:
        return httpx.Response(200, json={})
    [example] = call.successes[200]["content"][JSON]["examples"].values()
    return httpx.Response(200, json=example["value"])


@pytest.mark.parametrize(("call", "sent"), CHANGES, ids=name_of)
async def test_an_example_is_answered_as_documented(
    caller: httpx.AsyncClient, app: FastAPI, call: Call, sent: Sent
) -> None:
    training = STATUS_OF_TRAINING.get(call.name, "completed")
    await make_world(app, training=training, generation=STATUS_OF_GENERATION.get(call.name, "succeeded"))
    check(call, sent, await call.send(caller, sent))


async def test_every_example_of_a_read_is_answered_as_documented(caller: httpx.AsyncClient, app: FastAPI) -> None:
    """In one world, which reads do not change."""
    await make_world(app)
    assert len(READS) > 20
    for call, sent in READS:
        check(call, sent, await call.send(caller, sent))


@pytest.mark.parametrize(("call", "sent"), SIGNED, ids=name_of)
async def test_a_signed_example_is_answered_as_documented(
    nats: NatsServer, jetstream: JetStreamContext, database_url: str, tmp_path: Path, call: Call, sent: Sent
) -> None:
    async with served_gateway(nats.url, database_url, tmp_path, replicate_webhook_secret=SECRET) as served:
        request = served.client.build_request(call.method, call.url(), json=sent.body)
        at = datetime.now(UTC)
        signature = Webhook(SECRET).sign("msg_1", at, request.content.decode())
        signed = {"webhook-id": "msg_1", "webhook-timestamp": str(int(at.timestamp())), "webhook-signature": signature}
        check(call, sent, await call.send(served.client, sent, headers=signed))


def check(call: Call, sent: Sent, answer: httpx.Response) -> None:
    """That status, content type, body and headers are documented ones."""
    assert answer.status_code in call.successes, f"{call.name}: {answer.text}"
    documented = call.successes[answer.status_code]
    content_type = answer.headers.get("content-type", "").partition(";")[0]
    content = documented.get("content", {})
    if content and answer.content:
        assert content_type in content, call.name
        assert sent.accepts in (content_type, "*/*") or sent.body is not None or sent.files, call.name
        if content_type == JSON:
            assert complaints(answer.json(), content[JSON]["schema"]) == [], call.name
    for name, header in documented.get("headers", {}).items():
        if name in answer.headers:
            value = answer.headers[name]
            kind = resolved(header)["schema"]
            assert complaints(int(value) if kind["type"] == "integer" else value, kind) == [], f"{call.name}: {name}"
    if answer.status_code in (201, 202) and "Location" in documented.get("headers", {}):
        assert answer.headers["location"].startswith("/v1/")
