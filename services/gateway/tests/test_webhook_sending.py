"""Deliveries are sent to a real receiver: signed, once while all goes well, again and again when it does not."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from prometheus_client import CollectorRegistry
from standardwebhooks import WebhookVerificationError

from fluxline.postgres.pool import Database
from fluxline_gateway.webhooks import deliveries, endpoint_secrets
from fluxline_gateway.webhooks.post import Poster
from fluxline_gateway.webhooks.schedule import SCHEDULE_S
from fluxline_gateway.webhooks.sender import AT_A_TIME, PER_HOST, WebhookSender
from polling import poll_until

from .webhook_receiver import Receiver, receiving, says

TYPE = "training.completed"
KEY = "fl_" + "k" * 40


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
def sender(database: Database, receiver: Receiver) -> WebhookSender:
    return sender_to(database, receiver)


def sender_to(database: Database, *receivers: Receiver, total_s: float = 15.0, **options: Any) -> WebhookSender:
    poster = Poster([receiver.origin for receiver in receivers], total_s=total_s)
    return WebhookSender(database, CollectorRegistry(), poster, **({"chance": lambda: 0.0} | options))


@asynccontextmanager
async def running(*senders: WebhookSender) -> AsyncIterator[list[asyncio.Task[None]]]:
    tasks = [asyncio.create_task(sender.run()) for sender in senders]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(end, asyncio.CancelledError) for end in ends), ends


async def add(database: Database, url: str, text: str = "hello") -> UUID:
    delivery_id = uuid4()
    async with database.transaction() as connection:
        await deliveries.add(connection, delivery_id, "ada", url, TYPE, json.dumps({"text": text}))
    return delivery_id


async def row_of(database: Database, delivery_id: UUID) -> dict[str, Any]:
    [row] = await database.pool.fetch("SELECT * FROM webhook_deliveries WHERE id = $1", delivery_id)
    return dict(row)


async def log_of(database: Database, delivery_id: UUID) -> list[dict[str, Any]]:
    rows = await database.pool.fetch(
        "SELECT * FROM webhook_attempts WHERE delivery_id = $1 ORDER BY number", delivery_id
    )
    return [dict(row) for row in rows]


async def make_due(database: Database, delivery_id: UUID) -> None:
    await database.pool.execute("UPDATE webhook_deliveries SET next_attempt_at = now() WHERE id = $1", delivery_id)


def ended(database: Database) -> Callable[[], Any]:
    return lambda: database.pool.fetchval("SELECT count(*) = 0 FROM webhook_deliveries WHERE status = 'pending'")


async def test_a_delivery_is_signed_as_standard_webhooks_says(
    database: Database, receiver: Receiver, sender: WebhookSender
) -> None:
    delivery_id = await add(database, receiver.url, "grüße")
    assert await sender.send_due() == 1
    [arrived] = receiver.arrived
    secret = (await endpoint_secrets.in_use(database.pool, "ada")).secret
    assert arrived.verified(secret) == {"text": "grüße"}
    assert arrived.id == str(delivery_id)
    assert arrived.line == "POST /hook?token=abcdefgh12345678 HTTP/1.1"
    assert arrived.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert arrived.headers["content-type"] == "application/json"
    with pytest.raises(WebhookVerificationError):
        arrived.verified("whsec_" + "A" * 43 + "=")
    row = await row_of(database, delivery_id)
    assert (row["status"], row["attempts"], row["next_attempt_at"]) == ("delivered", 1, None)
    assert row["ended_at"] is not None
    [attempt] = await log_of(database, delivery_id)
    assert (attempt["number"], attempt["status_code"], attempt["error"], attempt["answer"]) == (1, 200, None, "ok")


async def test_the_receiver_learns_nothing_of_our_traces_cookies_or_proxies(
    database: Database, receiver: Receiver, sender: WebhookSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    receiver.answer = says(200, set_cookie="a=b")
    for _ in range(2):
        await add(database, receiver.url)
        await sender.send_due()
    known = {"host", "content-type", "content-length", "user-agent", "accept-encoding"}
    known |= {"webhook-id", "webhook-timestamp", "webhook-signature"}
    assert [set(arrived.headers) for arrived in receiver.arrived] == [known, known]


async def test_failures_are_tried_again_on_schedule_until_the_last(
    database: Database, receiver: Receiver, sender: WebhookSender
) -> None:
    receiver.answer = says(500, "broken")
    delivery_id = await add(database, receiver.url)
    for number, wait_s in enumerate(SCHEDULE_S, 1):
        assert await sender.send_due() == 1
        row = await row_of(database, delivery_id)
        assert (row["status"], row["attempts"]) == ("pending", number)
        left_s = await database.pool.fetchval("SELECT extract(epoch FROM $1 - now())::float8", row["next_attempt_at"])
        assert wait_s - 3 < left_s <= wait_s
        assert await sender.send_due() == 0
        await make_due(database, delivery_id)
    assert await sender.send_due() == 1
    row = await row_of(database, delivery_id)
    assert (row["status"], row["attempts"], row["next_attempt_at"]) == ("failed", 10, None)
    assert await sender.send_due() == 0
    assert {arrived.id for arrived in receiver.arrived} == {str(delivery_id)}
    log = await log_of(database, delivery_id)
    assert [attempt["number"] for attempt in log] == [*range(1, 11)]
    assert {(attempt["status_code"], attempt["answer"]) for attempt in log} == {(500, "broken")}


async def test_every_attempt_has_its_own_time_and_signature(
    database: Database, receiver: Receiver, sender: WebhookSender
) -> None:
    receiver.answer = says(500)
    delivery_id = await add(database, receiver.url)
    await sender.send_due()
    await poll_until(lambda: int(time.time()) > int(receiver.arrived[0].headers["webhook-timestamp"]))
    receiver.answer = says(204)
    await make_due(database, delivery_id)
    await sender.send_due()
    one, other = receiver.arrived
    assert one.headers["webhook-timestamp"] != other.headers["webhook-timestamp"]
    assert one.headers["webhook-signature"] != other.headers["webhook-signature"]
    secret = (await endpoint_secrets.in_use(database.pool, "ada")).secret
    assert one.verified(secret) == other.verified(secret)
    assert (await row_of(database, delivery_id))["status"] == "delivered"


async def test_two_senders_at_once_send_each_delivery_once(database: Database, receiver: Receiver) -> None:
    ids = {str(await add(database, receiver.url, str(number))) for number in range(40)}
    async with running(sender_to(database, receiver), sender_to(database, receiver)):
        await poll_until(ended(database), 30)
    assert len(receiver.arrived) == 40
    assert {arrived.id for arrived in receiver.arrived} == ids


async def test_what_a_killed_sender_had_begun_is_sent_by_another_under_the_same_id(
    database: Database, receiver: Receiver
) -> None:
    never = asyncio.Event()

    async def hang(_writer: asyncio.StreamWriter) -> None:
        await never.wait()

    receiver.answer = hang
    delivery_id = await add(database, receiver.url)
    async with running(sender_to(database, receiver, lease=timedelta(seconds=1))):
        await poll_until(lambda: receiver.arrived)
    receiver.answer = says(200)
    other = sender_to(database, receiver)
    assert await other.send_due() == 0  # the lease holds
    await poll_until(other.send_due)
    assert [arrived.id for arrived in receiver.arrived] == [str(delivery_id)] * 2
    row = await row_of(database, delivery_id)
    assert (row["status"], row["attempts"]) == ("delivered", 2)
    assert [attempt["number"] for attempt in await log_of(database, delivery_id)] == [2]


async def test_a_sender_whose_lease_has_ended_changes_nothing_but_the_log(
    database: Database, receiver: Receiver, sender: WebhookSender
) -> None:
    delivery_id = await add(database, receiver.url)
    late = sender_to(database, receiver)

    async def answer(writer: asyncio.StreamWriter) -> None:
        receiver.answer = says(200)
        await make_due(database, delivery_id)
        assert await sender.send_due() == 1
        await says(500)(writer)

    receiver.answer = answer
    assert await late.send_due() == 1
    row = await row_of(database, delivery_id)
    assert (row["status"], row["attempts"]) == ("delivered", 2)
    assert [attempt["status_code"] for attempt in await log_of(database, delivery_id)] == [500, 200]


async def test_a_delivery_that_is_asked_for_again_meanwhile_is_sent_again(
    database: Database, receiver: Receiver, sender: WebhookSender, client: httpx.AsyncClient
) -> None:
    delivery_id = await add(database, receiver.url)

    async def answer(writer: asyncio.StreamWriter) -> None:
        receiver.answer = says(200)
        asked = await client.post(f"/v1/webhooks/deliveries/{delivery_id}/redeliver")
        assert asked.status_code == 202, asked.text
        await says(200)(writer)

    receiver.answer = answer
    assert await sender.send_due() == 1
    assert (await row_of(database, delivery_id))["status"] == "pending"
    assert await sender.send_due() == 1
    assert (await row_of(database, delivery_id))["status"] == "delivered"
    assert len(receiver.arrived) == 2


async def test_a_redirect_is_a_failure_and_is_not_followed(
    database: Database, receiver: Receiver, sender: WebhookSender
) -> None:
    async with receiving() as inside:
        receiver.answer = says(307, location=inside.url)
        delivery_id = await add(database, receiver.url)
        await sender.send_due()
        assert inside.arrived == []
    [attempt] = await log_of(database, delivery_id)
    assert (attempt["status_code"], attempt["error"]) == (
        307,
        "The receiver answered 307: redirects are not followed.",
    )
    assert (await row_of(database, delivery_id))["status"] == "pending"


async def test_gone_ends_it_at_once_and_says_so(database: Database, receiver: Receiver, sender: WebhookSender) -> None:
    receiver.answer = says(410)
    delivery_id = await add(database, receiver.url)
    await sender.send_due()
    assert (await row_of(database, delivery_id))["status"] == "failed"
    [attempt] = await log_of(database, delivery_id)
    assert attempt["error"] == "The receiver answered 410: it wants this no more, so it is not tried again."


async def test_retry_after_is_waited_for(database: Database, receiver: Receiver, sender: WebhookSender) -> None:
    receiver.answer = says(503, retry_after="3600")
    delivery_id = await add(database, receiver.url)
    await sender.send_due()
    row = await row_of(database, delivery_id)
    left_s = await database.pool.fetchval("SELECT extract(epoch FROM $1 - now())::float8", row["next_attempt_at"])
    assert 3590 < left_s <= 3600


async def test_a_receiver_that_does_not_answer_is_given_up_in_time(database: Database, receiver: Receiver) -> None:
    never = asyncio.Event()

    async def hang(_writer: asyncio.StreamWriter) -> None:
        await never.wait()

    receiver.answer = hang
    delivery_id = await add(database, receiver.url)
    await sender_to(database, receiver, total_s=0.2).send_due()
    [attempt] = await log_of(database, delivery_id)
    assert (attempt["status_code"], attempt["error"]) == (None, "The receiver did not answer within 0.2 s.")
    assert 200 <= attempt["duration_ms"] < 5000


async def test_a_receiver_that_drips_is_given_up_in_time(database: Database, receiver: Receiver) -> None:
    async def drip(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 ")
        while True:
            writer.write(b"O")
            await writer.drain()
            await asyncio.sleep(0.02)

    receiver.answer = drip
    delivery_id = await add(database, receiver.url)
    await sender_to(database, receiver, total_s=0.3).send_due()
    [attempt] = await log_of(database, delivery_id)
    assert attempt["error"] == "The receiver did not answer within 0.3 s."


async def test_an_endless_answer_is_read_no_further_than_it_is_shown(
    database: Database, receiver: Receiver, sender: WebhookSender
) -> None:
    sent = 0

    async def pour(writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        while True:
            writer.write(b"x" * 65_536)
            await writer.drain()
            sent += 65_536

    receiver.answer = pour
    delivery_id = await add(database, receiver.url)
    await sender.send_due()
    await poll_until(lambda: receiver.open == 0)
    assert sent < 20_000_000  # what the sockets hold
    [attempt] = await log_of(database, delivery_id)
    assert attempt["answer"] == "x" * 500
    assert (await row_of(database, delivery_id))["status"] == "delivered"


async def test_what_a_receiver_answers_is_kept_without_secrets(
    database: Database, receiver: Receiver, sender: WebhookSender
) -> None:
    receiver.answer = says(500, f"no\0 {KEY} for you")
    delivery_id = await add(database, receiver.url)
    await sender.send_due()
    [attempt] = await log_of(database, delivery_id)
    assert attempt["answer"] == "no\ufffd [redacted] for you"


async def test_a_receiver_that_breaks_off_or_talks_nonsense_is_a_failure(
    database: Database, receiver: Receiver, sender: WebhookSender
) -> None:
    async def silence(writer: asyncio.StreamWriter) -> None:
        writer.close()

    async def nonsense(writer: asyncio.StreamWriter) -> None:
        writer.write(b"\x16\x03\x01 this is no HTTP\r\n\r\n")

    for answer in (silence, nonsense):
        receiver.answer = answer
        delivery_id = await add(database, receiver.url)
        await sender.send_due()
        [attempt] = await log_of(database, delivery_id)
        assert attempt["error"].startswith("The receiver broke the connection or answered no HTTP")


async def test_a_receiver_that_is_not_there_is_a_failure(
    database: Database, receiver: Receiver, sender: WebhookSender
) -> None:
    async with receiving() as gone:
        pass
    delivery_id = await add(database, gone.url)
    await sender_to(database, gone).send_due()
    [attempt] = await log_of(database, delivery_id)
    assert attempt["error"] == "The receiver takes no connection."


async def test_an_origin_that_is_exempt_no_more_gets_nothing(database: Database, receiver: Receiver) -> None:
    delivery_id = await add(database, receiver.url)
    await sender_to(database).send_due()
    assert receiver.arrived == []
    [attempt] = await log_of(database, delivery_id)
    assert attempt["error"] == "The URL must begin with https://."


async def test_one_host_cannot_hold_up_the_others(database: Database, receiver: Receiver) -> None:
    release = asyncio.Event()

    async def hold(writer: asyncio.StreamWriter) -> None:
        await release.wait()
        await says(200)(writer)

    receiver.answer = hold
    async with receiving() as other:
        elsewhere = f"http://localhost:{other.port}"
        for number in range(10):
            await add(database, receiver.url, str(number))
        for number in range(10):
            await add(database, f"{elsewhere}/hook", str(number))
        poster = Poster([receiver.origin, elsewhere])
        async with running(WebhookSender(database, CollectorRegistry(), poster)):
            await poll_until(lambda: len(other.arrived) == 10)
            assert len(receiver.arrived) == PER_HOST
            release.set()
            await poll_until(ended(database))
        assert receiver.most == PER_HOST
        assert other.most <= PER_HOST


async def test_only_so_many_are_sent_at_a_time(database: Database, receiver: Receiver) -> None:
    release = asyncio.Event()

    async def hold(writer: asyncio.StreamWriter) -> None:
        await release.wait()
        await says(200)(writer)

    receiver.answer = hold
    hosts = [f"127.0.0.{number}" for number in range(1, 13)]
    servers = [await asyncio.start_server(receiver.serve, host, 0) for host in hosts]
    origins = [f"http://{host}:{s.sockets[0].getsockname()[1]}" for host, s in zip(hosts, servers, strict=True)]
    for origin in origins * 3:
        await add(database, f"{origin}/hook")
    try:
        async with running(WebhookSender(database, CollectorRegistry(), Poster(origins))):
            await poll_until(lambda: receiver.open == AT_A_TIME)
            release.set()
            await poll_until(ended(database))
    finally:
        for server in servers:
            server.close()
    assert (receiver.most, len(receiver.arrived)) == (AT_A_TIME, 36)


async def test_an_old_secret_signs_along_for_a_day(
    database: Database, receiver: Receiver, sender: WebhookSender
) -> None:
    old = (await endpoint_secrets.in_use(database.pool, "ada")).secret
    async with database.transaction() as connection:
        new = (await endpoint_secrets.rotate(connection, "ada")).secret
    await add(database, receiver.url)
    await sender.send_due()
    await database.pool.execute("UPDATE webhook_secrets SET expires_at = now() WHERE secret = $1", old)
    await add(database, receiver.url)
    await sender.send_due()
    during, after = receiver.arrived
    assert len(during.headers["webhook-signature"].split(" ")) == 2
    assert during.verified(old) == during.verified(new) == after.verified(new) == {"text": "hello"}
    with pytest.raises(WebhookVerificationError):
        after.verified(old)


async def test_the_backlog_and_what_was_sent_are_measured(
    database: Database, receiver: Receiver, sender: WebhookSender
) -> None:
    await add(database, receiver.url)
    await database.pool.execute("UPDATE webhook_deliveries SET created_at = now() - interval '1 hour'")
    await database.pool.execute("UPDATE webhook_deliveries SET next_attempt_at = now() - interval '1 minute'")
    waiting = await deliveries.backlog(database.pool)
    assert (round(waiting.age_s, -2), round(waiting.overdue_s, -1)) == (3600, 60)
    await sender.send_due()
    assert await deliveries.backlog(database.pool) == deliveries.Backlog(0, 0)
    assert sender.metrics.ended.labels("delivered")._value.get() == 1


async def test_deliveries_and_secrets_are_forgotten_in_time(database: Database, receiver: Receiver) -> None:
    old, young, pending = [await add(database, receiver.url) for _ in range(3)]
    aged = "UPDATE webhook_deliveries SET status = 'failed', ended_at = now() - make_interval(days => $2) WHERE id = $1"
    for delivery_id, days in ((old, 31), (young, 29)):
        await database.pool.execute(aged, delivery_id, days)
    async with database.transaction() as connection:
        await endpoint_secrets.rotate(connection, "ada")
        await endpoint_secrets.rotate(connection, "ada")
        await connection.execute("UPDATE webhook_secrets SET expires_at = now() WHERE expires_at IS NOT NULL")
        await deliveries.purge(connection)
        await endpoint_secrets.purge(connection)
    left = {row["id"] for row in await database.pool.fetch("SELECT id FROM webhook_deliveries")}
    assert left == {young, pending}
    assert await database.pool.fetchval("SELECT count(*) FROM webhook_secrets") == 1
