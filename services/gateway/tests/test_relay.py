"""From the request to the stream: what is answered with 202 is published, once, with the request's trace."""

import asyncio
from pathlib import Path

from nats.js import JetStreamContext

from fluxline.contracts.events import TrainingRequested
from fluxline.postgres.outbox import Relay, enqueue
from fluxline.postgres.pool import Database
from fluxline.runtime.envelope import read_event
from fluxline.runtime.provision import provision
from fluxline_gateway.deps import Gateway
from polling import poll_until
from servers import NatsServer, nats_server
from streams import messages_of, requested

from .jobs import order_of
from .serving import served_gateway


async def test_a_training_reaches_the_stream_with_its_id_and_trace(
    nats: NatsServer, jetstream: JetStreamContext, database_url: str, tmp_path: Path
) -> None:
    async with served_gateway(nats.url, database_url, tmp_path) as served:
        answer = await served.client.post("/v1/trainings", json=await order_of(served.gateway.database))
        [message] = await poll_until(lambda: messages_of(jetstream))
        event = read_event(message.subject, message.data or b"")
    assert isinstance(event, TrainingRequested)
    assert answer.json()["id"] == str(event.training_id)
    assert message.headers
    assert message.headers["Nats-Msg-Id"] == str(event.event_id)
    trace_id = message.headers["traceparent"].split("-")[1]
    assert trace_id == answer.headers["traceparent"].split("-")[1] == answer.json()["trace_id"]


async def test_trainings_are_accepted_while_nats_is_down_and_published_when_it_is_back(
    database_url: str, tmp_path: Path
) -> None:
    with nats_server() as nats:
        await provision(nats.url)
        async with served_gateway(nats.url, database_url, tmp_path) as served:
            nats.kill()
            order = await order_of(served.gateway.database)
            answers = [await served.client.post("/v1/trainings", json=order) for _ in range(3)]
            assert [answer.status_code for answer in answers] == [202] * 3
            nats.start()
            jetstream = served.gateway.bus.jetstream

            async def all_are_out() -> bool:
                pending = await served.gateway.database.pool.fetchval(
                    "SELECT count(*) FROM outbox WHERE published_at IS NULL"
                )
                return pending == 0

            await poll_until(all_are_out, 30)
            ids = [read_event(m.subject, m.data or b"").training_id for m in await messages_of(jetstream)]
            projected = "SELECT count(*) = 3 FROM training_events"
            await poll_until(lambda: served.gateway.database.pool.fetchval(projected), 30)
    assert [str(training_id) for training_id in ids] == [answer.json()["id"] for answer in answers]


async def test_published_events_leave_the_outbox_long_after_and_waiting_ones_never(
    gateway: Gateway, database: Database
) -> None:
    old, young, waiting = requested(), requested(), requested()
    async with database.transaction() as connection:
        await enqueue(connection, "gateway", old, young, waiting)
        await connection.execute("UPDATE outbox SET created_at = now() - interval '50 days'")
        published = "UPDATE outbox SET published_at = now() - make_interval(days => $2) WHERE event_id = $1"
        await connection.execute(published, old.event_id, 46)
        await connection.execute(published, young.event_id, 44)
    relaying = asyncio.create_task(Relay(database, gateway.bus).run())
    try:
        await poll_until(lambda: database.pool.fetchval("SELECT count(*) = 2 FROM outbox"))
    finally:
        relaying.cancel()
        await asyncio.gather(relaying, return_exceptions=True)
    left = {row["event_id"] for row in await database.pool.fetch("SELECT event_id FROM outbox")}
    assert left == {young.event_id, waiting.event_id}
