"""Live streams over real sockets, NATS and PostgreSQL: a snapshot, then every event once, then the end."""

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from nats.js import JetStreamContext

from fluxline.contracts import events as e
from fluxline.contracts.errors import Stage
from fluxline.contracts.events import TrainingRequested
from fluxline.runtime.bus import Bus
from fluxline.runtime.errors import BrokerUnavailable, DeadlineExceeded
from fluxline.runtime.handlers import training_failed
from fluxline.runtime.provision import provision
from fluxline.runtime.stages import StageAttempt
from fluxline_gateway.identity.keys import Principal
from fluxline_gateway.live.event_stream import live_stream
from polling import poll_until
from servers import NatsServer, nats_server
from streams import events_of, messages_of, requested

from .jobs import job_after, order_of, progressed
from .serving import Message, Served, served_gateway, watch

ADA = Principal("ada", None, frozenset())


@pytest.fixture
async def served(
    nats: NatsServer, jetstream: JetStreamContext, database_url: str, tmp_path: Path
) -> AsyncIterator[Served]:
    async with served_gateway(nats.url, database_url, tmp_path) as served:
        yield served


async def new_training(served: Served, jetstream: JetStreamContext) -> TrainingRequested:
    """A training's request, once it is on the stream."""
    answer = await served.client.post("/v1/trainings", json=await order_of(served.gateway.database))
    assert answer.status_code == 202, answer.text
    [event] = await poll_until(lambda: events_of(jetstream, TrainingRequested))
    return event


async def publish(bus: Bus, cause: TrainingRequested, first: int, last: int) -> None:
    for done in range(first, last + 1):
        await bus.publish(progressed(cause, done, total=1000))


async def sequences_of(jetstream: JetStreamContext) -> list[int]:
    return [message.seq or 0 for message in await messages_of(jetstream)]


async def test_a_page_sees_the_job_from_the_snapshot_to_the_end(served: Served, jetstream: JetStreamContext) -> None:
    cause = await new_training(served, jetstream)
    seen: list[Message] = []
    async for message in watch(served.client, str(cause.training_id)):
        if not seen:
            for event in job_after(cause):
                await served.gateway.bus.publish(event)
        seen.append(message)
    assert (seen[0].name, seen[0].data["id"], seen[-1].name) == ("snapshot", str(cause.training_id), "end")
    told = [message.name for message in seen[1:-1] if message.name != "training.requested"]
    assert told == [event.subject for event in job_after(cause)]
    ids = [message.id for message in seen[1:-1]]
    assert ids == sorted(set(ids))
    training = (await served.client.get(f"/v1/trainings/{cause.training_id}")).json()
    assert (training["status"], training["progress"]) == ("completed", 100)


async def test_a_page_of_an_ended_training_gets_the_snapshot_and_the_end(
    served: Served, jetstream: JetStreamContext
) -> None:
    served.gateway.live.linger_s = 0.05
    cause = await new_training(served, jetstream)
    for event in job_after(cause):
        await served.gateway.bus.publish(event)

    async def names() -> list[str]:
        return [message.name async for message in watch(served.client, str(cause.training_id))]

    async def is_short() -> bool:
        return await names() == ["snapshot", "end"]

    await poll_until(is_short)


async def test_reconnecting_anywhere_misses_nothing_and_doubles_nothing(
    served: Served, nats: NatsServer, jetstream: JetStreamContext, database_url: str, tmp_path: Path
) -> None:
    chance = random.Random(7)
    cause = await new_training(served, jetstream)
    total, seen, last = 400, [], 0
    async with served_gateway(nats.url, database_url, tmp_path) as other:
        other.client.headers = served.client.headers
        publishing = asyncio.create_task(publish(served.gateway.bus, cause, 1, total))
        while len(seen) <= total:
            client, patience = chance.choice([served.client, other.client]), chance.randint(1, 60)
            async with aclosing(watch(client, str(cause.training_id), last)) as messages:
                async for message in messages:
                    if message.name != "snapshot":
                        seen.append(message.id)
                        last = message.id
                        patience -= 1
                    if patience == 0 or len(seen) > total:
                        break
        await publishing
    assert seen == await sequences_of(jetstream)


def recent_of(served: Served, cause: TrainingRequested) -> int:
    with served.gateway.live.subscribe(cause.training_id) as subscriber:
        return len(subscriber.recent)


async def test_what_is_not_projected_yet_follows_the_snapshot(served: Served, jetstream: JetStreamContext) -> None:
    cause = await new_training(served, jetstream)
    await publish(served.gateway.bus, cause, 1, 5)
    database = served.gateway.database
    stored = "SELECT count(*) = 6 FROM training_events"
    await poll_until(lambda: database.pool.fetchval(stored))
    await poll_until(lambda: recent_of(served, cause) == 6)
    ids = await sequences_of(jetstream)
    unknown = [ids[2], ids[4]]
    await database.pool.execute("DELETE FROM training_events WHERE sequence = ANY($1::bigint[])", unknown)
    seen = []
    async for message in watch(served.client, str(cause.training_id)):
        seen.append((message.name, message.id))
        if message.id == ids[-1]:
            break
    assert seen == [("snapshot", ids[1]), *(("zip.progressed", sequence) for sequence in ids[2:])]


async def test_a_history_that_is_far_behind_is_waited_for(served: Served, jetstream: JetStreamContext) -> None:
    cause = await new_training(served, jetstream)
    hub, database = served.gateway.live, served.gateway.database
    hub._ring = deque(hub._ring, maxlen=3)
    await poll_until(lambda: database.pool.fetchval("SELECT count(*) = 1 FROM training_events"))
    path = f"/v1/trainings/{cause.training_id}/events"
    async with aclosing(watch(served.client, str(cause.training_id), 0)) as page:
        async with database.transaction() as connection:  # which the projection waits for
            await connection.execute("SELECT FROM trainings FOR UPDATE")
            await publish(served.gateway.bus, cause, 1, 10)
            ids = await sequences_of(jetstream)
            await poll_until(lambda: hub.told == ids[-1])
            listed = (await served.client.get(path, headers={"Accept": "application/json"})).json()["items"]
            assert [event["id"] for event in listed] == ids[: len(listed)]
            reading = asyncio.create_task(first_of(page, 12))
        seen = await reading
    assert [message.id for message in seen if message.name != "snapshot"] == ids


async def test_the_history_knows_what_is_published_but_not_stored_yet(
    served: Served, jetstream: JetStreamContext
) -> None:
    cause = await new_training(served, jetstream)
    database = served.gateway.database
    await poll_until(lambda: database.pool.fetchval("SELECT count(*) = 1 FROM training_events"))
    async with database.transaction() as connection:
        await connection.execute("SELECT FROM trainings FOR UPDATE")
        await publish(served.gateway.bus, cause, 1, 5)
        ids = await sequences_of(jetstream)
        await poll_until(lambda: served.gateway.live.told == ids[-1])
        answer = await served.client.get(
            f"/v1/trainings/{cause.training_id}/events?limit=4", headers={"Accept": "application/json"}
        )
    assert [event["id"] for event in answer.json()["items"]] == ids[:4]
    assert answer.json()["next_cursor"] == ids[3]
    assert answer.json()["items"][1]["data"]["done"] == 1


async def first_of(messages: AsyncIterator[Message], count: int) -> list[Message]:
    return [await anext(messages) for _ in range(count)]


async def test_a_retry_goes_on_in_the_stream_of_the_failure(served: Served, jetstream: JetStreamContext) -> None:
    served.gateway.live.linger_s = 5
    cause = await new_training(served, jetstream)
    attempt = StageAttempt(Stage.ZIP_CREATION, "zipper", cause, 1)
    failed = training_failed(attempt, DeadlineExceeded())
    assert failed
    path, seen = f"/v1/trainings/{cause.training_id}", []

    async def has_failed() -> bool:
        return (await served.client.get(path)).json()["status"] == "failed"

    async for message in watch(served.client, str(cause.training_id)):
        seen.append(message.name)
        match message.name:
            case "snapshot":
                await served.gateway.bus.publish(failed)
            case "training.failed":
                await poll_until(has_failed)
                served.gateway.live.linger_s = 0.2
                assert (await served.client.post(f"{path}/retry")).status_code == 202
            case "training.retry_requested":
                assert message.data["data"]["run"] == 1
                await served.gateway.bus.publish(e.TrainingCanceled.caused_by(cause, stage=Stage.ZIP_CREATION))
    assert [name for name in seen if name != "training.requested"] == [
        "snapshot",
        "training.failed",
        "training.retry_requested",
        "training.canceled",
        "end",
    ]


async def test_a_deleted_training_ends_its_stream(served: Served, jetstream: JetStreamContext) -> None:
    served.gateway.live.linger_s = 0.2
    cause = await new_training(served, jetstream)
    path, seen = f"/v1/trainings/{cause.training_id}", []
    async for message in watch(served.client, str(cause.training_id)):
        seen.append(message.name)
        match message.name:
            case "snapshot":
                assert (await served.client.delete(path)).status_code == 202
                assert (await served.client.get(f"{path}/events")).status_code == 404
            case "training.cancel_requested":
                await served.gateway.bus.publish(e.TrainingCanceled.caused_by(cause, stage=Stage.ZIP_CREATION))
    assert seen[-1] == "end"
    [deleted] = await poll_until(lambda: events_of(jetstream, e.TrainingDeleteRequested))
    assert deleted.training_id == cause.training_id
    assert await served.gateway.database.pool.fetchval("SELECT count(*) FROM training_events") == 0


async def test_the_deletion_alone_ends_a_stream_too(served: Served, jetstream: JetStreamContext) -> None:
    served.gateway.live.linger_s = 0.2
    cause, seen = await new_training(served, jetstream), []
    async for message in watch(served.client, str(cause.training_id)):
        if not seen:
            await served.gateway.bus.publish(e.TrainingDeleteRequested.caused_by(cause, owner="ada"))
        seen.append(message.name)
    assert seen[-2:] == ["training.delete_requested", "end"]


async def test_a_page_that_comes_too_late_for_a_deleted_training_is_told_the_end(served: Served) -> None:
    messages = [message async for message in live_stream(served.gateway, ADA, uuid4(), None)]
    assert messages == [b"event: end\ndata: {}\n\n"]


async def test_a_silent_stream_says_that_it_lives(served: Served, jetstream: JetStreamContext) -> None:
    served.gateway.live.heartbeat_s = 0.05
    cause = await new_training(served, jetstream)
    async with served.client.stream("GET", f"/v1/trainings/{cause.training_id}/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        async for line in answer.aiter_lines():
            if line.startswith(":"):
                break


async def test_a_client_that_leaves_is_forgotten(served: Served, jetstream: JetStreamContext) -> None:
    cause = await new_training(served, jetstream)
    async with aclosing(watch(served.client, str(cause.training_id))) as messages:
        await anext(messages)
        assert served.gateway.live.open_streams == 1
    await poll_until(lambda: served.gateway.live.open_streams == 0)


async def test_a_page_that_lags_is_cut_without_an_end_so_that_it_reconnects(
    served: Served, jetstream: JetStreamContext
) -> None:
    hub = served.gateway.live
    hub.queue_size = 1
    cause = await new_training(served, jetstream)
    async with aclosing(live_stream(served.gateway, ADA, cause.training_id, None)) as messages:
        assert b"event: snapshot" in await anext(messages)
        [page] = hub._subscribers[cause.training_id]
        await publish(served.gateway.bus, cause, 1, 3)
        await poll_until(lambda: page.lagging)
        assert not [message async for message in messages if b"event: end" in message]
    assert hub.open_streams == 0


async def test_a_stream_goes_on_over_an_outage_of_nats(database_url: str, tmp_path: Path) -> None:
    with nats_server() as nats:
        await provision(nats.url)
        async with served_gateway(nats.url, database_url, tmp_path) as served:
            order = await order_of(served.gateway.database)
            training_id = (await served.client.post("/v1/trainings", json=order)).json()["id"]
            cause = requested(UUID(training_id))
            async with aclosing(watch(served.client, training_id)) as messages:
                assert (await anext(messages)).name == "snapshot"
                await asyncio.to_thread(nats.restart)
                await poll_until(lambda: _published(served.gateway.bus, cause), 30)
                async for message in messages:
                    if message.name == "zip.progressed":
                        break


async def _published(bus: Bus, cause: TrainingRequested) -> bool:
    try:
        await bus.publish(progressed(cause, 1))
    except BrokerUnavailable:
        return False
    return True
