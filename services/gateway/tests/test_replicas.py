"""Two gateways behind one database and one NATS: every call works through either, also when one is killed."""

import asyncio
import io
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from nats.js import JetStreamContext

from fluxline.contracts import events as e
from fluxline.contracts.errors import Stage
from fluxline.contracts.events import TrainingRequested
from fluxline.runtime.bus import Bus
from fluxline.runtime.errors import DeadlineExceeded
from fluxline.runtime.handlers import training_failed
from fluxline.runtime.stages import StageAttempt
from fluxline.runtime.telemetry import make_tracer_provider
from photos import scene
from polling import poll_until
from servers import NatsServer
from streams import events_of

from .jobs import job_after, progressed
from .serving import served_gateway, watch
from .test_app import START_TIMEOUT_S, Process, new_key, running_gateway, status_of

JSON = {"Accept": "application/json"}
PUBLISH = {"enabled": True, "accept_license": True}


class Alternating:
    """A client whose every request goes to the other gateway than the one before."""

    def __init__(self, clients: list[httpx.AsyncClient]) -> None:
        self.clients = clients
        self._turns: Iterator[httpx.AsyncClient] = itertools.cycle(clients)

    async def __call__(self, method: str, path: str, status: int, **options: Any) -> httpx.Response:
        answer = await next(self._turns).request(method, path, **options)
        assert answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text[:500]}"
        return answer


@pytest.fixture
async def bus(nats: NatsServer, jetstream: JetStreamContext) -> AsyncIterator[Bus]:
    """What the other services publish with."""
    bus = Bus("test", nats.url, make_tracer_provider("test", None))
    await bus.broker.connect()
    yield bus
    bus.stopping = True
    await bus.broker.stop()


@pytest.fixture
async def call(
    nats: NatsServer, jetstream: JetStreamContext, database_url: str, tmp_path: Path
) -> AsyncIterator[Alternating]:
    """Calls of Ada, in turns by two gateways in this process."""
    async with (
        served_gateway(nats.url, database_url, tmp_path) as one,
        served_gateway(nats.url, database_url, tmp_path) as other,
    ):
        other.client.headers = one.client.headers
        yield Alternating([one.client, other.client])


def photos(count: int) -> list[tuple[str, tuple[str, bytes, str]]]:
    """The multipart fields of an upload."""
    files = []
    for number in range(count):
        file = io.BytesIO()
        scene((640, 640), number).save(file, "JPEG")
        files.append(("files", (f"{number}.jpg", file.getvalue(), "image/jpeg")))
    return files


async def cause_of(jetstream: JetStreamContext, training_id: str) -> TrainingRequested:
    """The training's request, once a relay has put it on the stream."""

    async def found() -> list[TrainingRequested]:
        return [
            event for event in await events_of(jetstream, TrainingRequested) if str(event.training_id) == training_id
        ]

    [cause] = await poll_until(found, START_TIMEOUT_S)
    return cause


async def order(call: Alternating, key: str) -> str:
    """A training that was asked for twice, by each of the gateways, with one idempotency key."""
    uploads = await call("POST", "/v1/images", 201, files=photos(5))
    ids = [image["id"] for image in uploads.json()["accepted"]]
    for image_id in ids:  # sent to the one, seen by the other
        assert (await call("GET", f"/v1/images/{image_id}/content", 200)).headers["content-type"] == "image/jpeg"
    body = {"name": key, "trigger_word": "ADATOK", "image_ids": ids, "publish": PUBLISH}
    headers = {"Idempotency-Key": key}
    first = await call("POST", "/v1/trainings", 202, json=body, headers=headers)
    again = await call("POST", "/v1/trainings", 202, json=body, headers=headers)
    assert (again.content, again.headers["idempotent-replayed"]) == (first.content, "true")
    return str(first.json()["id"])


async def shows(call: Alternating, training_id: str, status: str) -> None:
    """Both gateways say that the training has this status."""
    for client in call.clients:

        async def has_status(client: httpx.AsyncClient = client) -> bool:
            return bool((await client.get(f"/v1/trainings/{training_id}")).json()["status"] == status)

        await poll_until(has_status)


async def test_a_jobs_life_alternates_between_two_gateways(
    call: Alternating, bus: Bus, jetstream: JetStreamContext
) -> None:
    training_id = await order(call, "ada")
    path = f"/v1/trainings/{training_id}"
    cause = await cause_of(jetstream, training_id)
    one, other = call.clients
    pages = [asyncio.create_task(names_of(client, training_id)) for client in (one, other)]
    failed = training_failed(StageAttempt(Stage.ZIP_CREATION, "zipper", cause, 1), DeadlineExceeded())
    assert failed
    await bus.publish(progressed(cause, 10))
    await bus.publish(failed)
    await shows(call, training_id, "failed")
    await call("POST", f"{path}/retry", 202)
    await asyncio.gather(*pages)
    await shows(call, training_id, "zipping")
    for event in job_after(cause):
        await bus.publish(event)
    await shows(call, training_id, "completed")
    histories = [(await call("GET", f"{path}/events", 200, headers=JSON)).json() for _ in call.clients]
    assert histories[0] == histories[1]
    assert [item["type"] for item in histories[0]["items"]][:3] == [
        "training.requested",
        "zip.progressed",
        "training.failed",
    ]
    model_id = (await call("GET", path, 200)).json()["result"]["model_id"]
    for listing in ("/v1/trainings?status=completed&q=ada", "/v1/models"):
        pages_of = [(await call("GET", listing, 200)).json()["items"] for _ in call.clients]
        assert [len(items) for items in pages_of] == [1, 1]
    made = await call("POST", f"/v1/models/{model_id}/generations", 202, json={"prompt": "ADATOK on a hill"})
    assert (await call("GET", made.headers["location"], 200)).json()["id"] == made.json()["id"]
    await call("DELETE", path, 204)
    for _ in call.clients:
        await call("GET", path, 404)


async def names_of(client: httpx.AsyncClient, training_id: str) -> list[str]:
    """What a page is told until the retry, then it leaves."""
    names: list[str] = []
    async with aclosing(watch(client, training_id)) as messages:
        async for message in messages:
            names.append(message.name)
            if message.name == "training.retry_requested":
                break
    return names


async def test_a_stream_of_one_gateway_shows_what_the_other_was_asked(
    call: Alternating, bus: Bus, jetstream: JetStreamContext
) -> None:
    training_id = await order(call, "ada")
    cause = await cause_of(jetstream, training_id)
    one, other = call.clients
    seen: list[str] = []
    async with aclosing(watch(one, training_id)) as messages:
        async for message in messages:
            seen.append(message.name)
            if message.name == "snapshot":
                assert (await other.post(f"/v1/trainings/{training_id}/cancel")).status_code == 202
            if message.name == "training.cancel_requested":
                await bus.publish(e.TrainingCanceled.caused_by(cause, stage=Stage.ZIP_CREATION))
    assert [name for name in seen if name != "training.requested"] == [
        "snapshot",
        "training.cancel_requested",
        "training.canceled",
        "end",
    ]


async def test_a_ticket_of_one_gateway_opens_the_stream_of_the_other(call: Alternating) -> None:
    training_id = await order(call, "ada")
    for one, other in itertools.permutations(call.clients):
        url = (await one.post(f"/v1/trainings/{training_id}/events/ticket")).json()["url"]
        async with (
            httpx.AsyncClient(trust_env=False) as browser,
            browser.stream("GET", f"{other.base_url}{url}") as answer,
        ):
            assert answer.status_code == 200
            assert "event: snapshot" in [line async for line in first_lines(answer)]


async def first_lines(answer: httpx.Response) -> AsyncIterator[str]:
    async for line in answer.aiter_lines():
        yield line
        if not line:
            return


@contextmanager
def two_processes(nats: NatsServer, database_url: str, folder: Path) -> Iterator[list[tuple[Process, str]]]:
    """Two gateways as processes of their own, on one database, one NATS and one folder of files."""
    (folder / "one").mkdir()
    (folder / "other").mkdir()
    for name in ("one", "other"):
        (folder / name / "storage").symlink_to(folder / "storage")
    (folder / "storage").mkdir()
    with (
        running_gateway(nats, database_url, folder / "one") as one,
        running_gateway(nats, database_url, folder / "other") as other,
    ):
        yield [one, other]


@asynccontextmanager
async def clients_of(urls: list[str], key: str) -> AsyncIterator[list[httpx.AsyncClient]]:
    headers = {"Authorization": f"Bearer {key}"}
    async with (
        httpx.AsyncClient(base_url=urls[0], headers=headers, trust_env=False, timeout=20) as one,
        httpx.AsyncClient(base_url=urls[1], headers=headers, trust_env=False, timeout=20) as other,
    ):
        for client in (one, other):
            await poll_until(lambda client=client: is_ready(client), START_TIMEOUT_S)
        yield [one, other]


async def is_ready(client: httpx.AsyncClient) -> bool:
    return await status_of(client, "/readyz") == 200


async def test_a_killed_gateway_costs_its_clients_a_reconnect_and_nothing_else(
    nats: NatsServer, bus: Bus, jetstream: JetStreamContext, database_url: str, tmp_path: Path
) -> None:
    key = await new_key(database_url)
    with two_processes(nats, database_url, tmp_path) as [(process, url), (_, other_url)]:
        async with clients_of([url, other_url], key) as [one, other]:
            training_id = await order(Alternating([one, other]), "ada")
            cause = await cause_of(jetstream, training_id)
            publishing = asyncio.create_task(publish(bus, cause, 300))
            seen: list[int] = []
            with suppress(httpx.TransportError):
                async for message in watch(one, training_id, 0):
                    seen += [message.id] * (message.name != "snapshot")
                    if len(seen) == 20:
                        process.kill()
            broken_at = len(seen)
            await publishing
            async for message in watch(other, training_id, seen[-1]):
                if message.name not in ("snapshot", "end"):
                    seen.append(message.id)
            state = (await jetstream.stream_info("EVENTS")).state
            assert seen == list(range(state.first_seq, state.last_seq + 1))
            assert 20 <= broken_at < 300
            assert (await other.get(f"/v1/trainings/{training_id}")).json()["status"] == "completed"


async def publish(bus: Bus, cause: TrainingRequested, count: int) -> None:
    for done in range(1, count + 1):
        await bus.publish(progressed(cause, done, total=count))
    for event in job_after(cause):
        await bus.publish(event)


async def test_what_a_gateway_has_accepted_is_done_by_the_other_when_it_is_killed(
    nats: NatsServer, jetstream: JetStreamContext, database_url: str, tmp_path: Path
) -> None:
    key = await new_key(database_url)
    with two_processes(nats, database_url, tmp_path) as [(process, url), (_, other_url)]:
        async with clients_of([url, other_url], key) as [one, other]:
            upload = (await one.post("/v1/images", files=photos(5))).json()["accepted"]
            body = {"name": "Ada", "trigger_word": "ADATOK", "image_ids": [image["id"] for image in upload]}
            headers = {"Idempotency-Key": "a-click"}
            first = await one.post("/v1/trainings", json=body, headers=headers)
            process.kill()
            assert first.status_code == 202
            again = await other.post("/v1/trainings", json=body, headers=headers)
            assert again.content == first.content
            await cause_of(jetstream, first.json()["id"])
            assert len(await events_of(jetstream, TrainingRequested)) == 1
