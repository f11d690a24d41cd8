"""What a training's life has sent: one delivery per change of its status, none twice, none after its deletion."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry

from fluxline.contracts import events as e
from fluxline.contracts.errors import ErrorCategory, FluxlineError, Stage
from fluxline.contracts.event import Event
from fluxline.postgres.pool import Database
from fluxline.runtime.envelope import read_event
from fluxline.runtime.handlers import training_failed
from fluxline.runtime.stages import StageAttempt
from fluxline_gateway.trainings.projection import Projection
from fluxline_gateway.webhooks import endpoint_secrets
from fluxline_gateway.webhooks.post import Poster
from fluxline_gateway.webhooks.sender import WebhookSender

from .jobs import job_after, order_of, received
from .webhook_receiver import Receiver, receiving

HOOK = "https://hooks.example.com/fluxline"
WHOLE_LIFE = ["training.zipping", "training.training", "training.publishing", "training.completed"]
_POINT = "UPDATE trainings SET request = jsonb_set(request::jsonb, '{webhook_url}', to_jsonb($1::text))::json"


class ProviderDown(FluxlineError):
    """The provider does not answer."""

    category = ErrorCategory.SERVICE_ERROR
    hint = "Wait."


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


async def ordered(client: httpx.AsyncClient, database: Database, url: str | None = HOOK) -> e.TrainingRequested:
    """A training that is asked for with that webhook; its event, not yet back from the stream."""
    answer = await client.post("/v1/trainings", json=await order_of(database, webhook_url=url))
    assert answer.status_code == 202, answer.text
    [row] = await database.pool.fetch("SELECT subject, body FROM outbox ORDER BY id DESC LIMIT 1")
    event = read_event(row["subject"], row["body"])
    assert isinstance(event, e.TrainingRequested)
    return event


async def happen(database: Database, *events: Event, first: int = 1, at_once: bool = False) -> None:
    batch = [received(sequence, event) for sequence, event in enumerate(events, first)]
    for part in [batch] if at_once else [[one] for one in batch]:
        await Projection(database).handle(part)


async def told(database: Database) -> list[str]:
    """The types of all deliveries, in the order in which they were made."""
    rows = await database.pool.fetch("SELECT type FROM webhook_deliveries ORDER BY created_at")
    return [row["type"] for row in rows]


async def pages(client: httpx.AsyncClient, **query: Any) -> list[dict[str, Any]]:
    answer = await client.get("/v1/webhooks/deliveries", params=query)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


@pytest.mark.parametrize("at_once", [False, True])
async def test_a_whole_life_is_one_delivery_per_status(
    client: httpx.AsyncClient, database: Database, at_once: bool
) -> None:
    cause = await ordered(client, database)
    await happen(database, cause, *job_after(cause), at_once=at_once)
    assert await told(database) == WHOLE_LIFE
    rows = await database.pool.fetch("SELECT * FROM webhook_deliveries ORDER BY created_at")
    for row in rows:
        body = json.loads(row["payload"])
        assert body["type"] == row["type"] == f"training.{body['data']['status']}"
        assert body["timestamp"] == body["data"]["updated_at"]
        assert body["data"]["id"] == str(cause.training_id)
        assert (row["url"], row["owner"], row["host"]) == (HOOK, "ada", "hooks.example.com")
    times = [json.loads(row["payload"])["timestamp"] for row in rows]
    assert times == sorted(set(times))
    told_last, shown = json.loads(rows[-1]["payload"])["data"], await client.get(f"/v1/trainings/{cause.training_id}")
    later = ("updated_at", "stages")  # the stage says that it has ended after the model is published
    assert {k: v for k, v in told_last.items() if k not in later} == {
        k: v for k, v in shown.json().items() if k not in later
    }


async def test_deliveries_of_the_stream_that_repeat_send_nothing_again(
    client: httpx.AsyncClient, database: Database
) -> None:
    cause = await ordered(client, database)
    events = [cause, *job_after(cause)]
    for at_once in (False, True, False):
        await happen(database, *events, at_once=at_once)
    assert await told(database) == WHOLE_LIFE


async def test_a_training_without_a_webhook_sends_nothing(client: httpx.AsyncClient, database: Database) -> None:
    cause = await ordered(client, database, None)
    await happen(database, cause, *job_after(cause))
    assert await told(database) == []


async def test_failing_retrying_and_canceling_are_told(client: httpx.AsyncClient, database: Database) -> None:
    cause = await ordered(client, database)
    attempt = StageAttempt(Stage.ZIP_CREATION, "test", cause, 1)
    failed = training_failed(attempt, ProviderDown())
    assert failed
    await happen(database, cause, attempt.started(), attempt.failed(ProviderDown()), failed)
    for action in ("retry", "cancel", "cancel"):
        assert (await client.post(f"/v1/trainings/{cause.training_id}/{action}")).status_code == 202
    await happen(database, e.TrainingCanceled.caused_by(cause, stage=Stage.ZIP_CREATION, run=1), first=10)
    kinds = ("zipping", "failed", "zipping", "canceling", "canceled")
    assert await told(database) == [f"training.{kind}" for kind in kinds]


async def test_what_a_receiver_gets_is_the_training(
    client: httpx.AsyncClient, database: Database, receiver: Receiver
) -> None:
    cause = await ordered(client, database)
    await database.pool.execute(_POINT, receiver.url)
    await happen(database, cause, *job_after(cause))
    sender = WebhookSender(database, CollectorRegistry(), Poster([receiver.origin]))
    while await sender.send_due():
        pass
    secret = (await endpoint_secrets.in_use(database.pool, "ada")).secret
    bodies = [arrived.verified(secret) for arrived in receiver.arrived]
    assert sorted(body["type"] for body in bodies) == sorted(WHOLE_LIFE)
    assert {body["data"]["trigger_word"] for body in bodies} == {"ADATOK"}
    assert {item["status"] for item in await pages(client)} == {"delivered"}


async def test_the_deliveries_of_a_deleted_training_go_with_it(client: httpx.AsyncClient, database: Database) -> None:
    cause, other = await ordered(client, database), await ordered(client, database)
    await happen(database, cause, *job_after(cause))
    await happen(database, other, *job_after(other), first=100)
    assert (await client.delete(f"/v1/trainings/{cause.training_id}")).status_code == 204
    rows = await database.pool.fetch("SELECT training_id FROM webhook_deliveries")
    assert [row["training_id"] for row in rows] == [other.training_id] * 4


async def test_a_training_that_is_being_deleted_is_told_of_no_more(
    client: httpx.AsyncClient, database: Database, receiver: Receiver
) -> None:
    cause = await ordered(client, database)
    await happen(database, cause, StageAttempt(Stage.ZIP_CREATION, "test", cause, 1).started())
    [shown] = await pages(client)
    assert (await client.delete(f"/v1/trainings/{cause.training_id}")).status_code == 202
    assert await told(database) == ["training.zipping"]
    assert await pages(client) == []
    path = f"/v1/webhooks/deliveries/{shown['id']}"
    assert [(await client.get(path)).status_code, (await client.post(f"{path}/redeliver")).status_code] == [404, 404]
    assert await WebhookSender(database, CollectorRegistry(), Poster()).send_due() == 0
    await happen(database, e.TrainingCanceled.caused_by(cause, stage=Stage.ZIP_CREATION), first=10)
    assert await told(database) == []


async def test_deliveries_are_made_with_the_change_or_not_at_all(client: httpx.AsyncClient, database: Database) -> None:
    cause = await ordered(client, database)
    started = StageAttempt(Stage.ZIP_CREATION, "test", cause, 1).started()
    await database.pool.execute("ALTER TABLE webhook_deliveries ADD CONSTRAINT nothing CHECK (type = 'x')")
    await happen(database, cause, started)
    shown = (await client.get(f"/v1/trainings/{cause.training_id}")).json()
    assert (shown["status"], await told(database)) == ("requested", [])


@pytest.mark.parametrize("url", ["http://hooks.example.com/", "https://10.0.0.1/", "https://localhost:8443/x"])
async def test_only_public_receivers_are_taken(client: httpx.AsyncClient, database: Database, url: str) -> None:
    for path, body, field in (
        ("/v1/trainings", await order_of(database, webhook_url=url), "webhook_url"),
        ("/v1/webhooks/test", {"url": url}, "url"),
    ):
        answer = await client.post(path, json=body)
        assert (answer.status_code, [error["field"] for error in answer.json()["errors"]]) == (422, [field])
    assert await database.pool.fetchval("SELECT count(*) FROM trainings") == 0
