"""Replicate's webhooks: only what is signed, whole and fresh wakes the trainer."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from nats.js import JetStreamContext
from standardwebhooks import Webhook

from servers import NatsServer
from streams import messages_of

from .serving import Served, served_gateway

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = json.dumps({"id": "r1-abc", "status": "succeeded"}).encode()
PATH = "/v1/webhooks/replicate"


@pytest.fixture
async def served(
    nats: NatsServer, jetstream: JetStreamContext, database_url: str, tmp_path: Path
) -> AsyncIterator[Served]:
    settings = {"replicate_webhook_secret": SECRET}
    async with served_gateway(nats.url, database_url, tmp_path, **settings) as served:
        del served.client.headers["Authorization"]
        yield served


def signed(body: bytes, *, secret: str = SECRET, age: timedelta = timedelta()) -> dict[str, str]:
    at = datetime.now(UTC) - age
    signature = Webhook(secret).sign("msg_1", at, body.decode())
    return {"webhook-id": "msg_1", "webhook-timestamp": str(int(at.timestamp())), "webhook-signature": signature}


async def wakes(jetstream: JetStreamContext) -> list[tuple[str, bytes]]:
    return [(message.subject, message.data or b"") for message in await messages_of(jetstream, "TIMERS")]


async def test_a_signed_webhook_wakes_the_trainer(served: Served, jetstream: JetStreamContext) -> None:
    answer = await served.client.post(PATH, content=BODY, headers=signed(BODY))
    assert answer.status_code == 200
    assert await wakes(jetstream) == [("timers.due.trainer", b"replicate:r1-abc")]


async def test_forged_altered_and_stale_webhooks_are_refused(served: Served, jetstream: JetStreamContext) -> None:
    attempts = [
        (BODY, {}),
        (BODY, signed(BODY, secret="whsec_" + "A" * 32)),
        (BODY.replace(b"r1", b"r2"), signed(BODY)),
        (BODY, signed(BODY, age=timedelta(seconds=301))),
        (BODY, signed(BODY, age=timedelta(seconds=-310))),
        (BODY, signed(BODY) | {"webhook-timestamp": "nan"}),
        (BODY, signed(BODY) | {"webhook-signature": "v1,é v1"}),
        (b"\xff", signed(BODY)),
    ]
    for body, headers in attempts:
        sent = {name: value.encode("latin-1") for name, value in headers.items()}
        answer = await served.client.post(PATH, content=body, headers=sent)
        assert (answer.status_code, answer.json()["category"]) == (401, "authentication")
    assert await wakes(jetstream) == []


async def test_a_signed_body_that_names_no_training_is_refused(served: Served) -> None:
    for body in (b"[]", b"{}", b'{"id": "a b"}', b"not json"):
        answer = await served.client.post(PATH, content=body, headers=signed(body))
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "id")


async def test_a_body_without_bounds_is_refused(served: Served) -> None:
    answer = await served.client.post(PATH, content=b" " * (1024 * 1024 + 1))
    assert answer.status_code == 413


async def test_without_a_secret_there_is_no_webhook(
    nats: NatsServer, jetstream: JetStreamContext, database_url: str, tmp_path: Path
) -> None:
    async with served_gateway(nats.url, database_url, tmp_path) as served:
        answer = await served.client.post(PATH, content=BODY, headers=signed(BODY))
    assert answer.status_code == 404
    assert "GATEWAY_REPLICATE_WEBHOOK_SECRET" in answer.json()["hint"]
