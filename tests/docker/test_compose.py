"""docker-compose.yml in containers: a job, replicas, the kill of each container, data that stay."""

import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from e2e.running import Json, job, submit, until_status, upload
from photos import write_photos

from .composed import Composed, engine_is_at_hand

pytestmark = [
    pytest.mark.skipif(not engine_is_at_hand() and "FLUXLINE_REQUIRE_DOCKER" not in os.environ, reason="needs Docker"),
    pytest.mark.timeout(1800),
]
SERVICES = ("gateway", "zipper", "trainer", "publisher", "generator", "collector")
KILLED = (*SERVICES, "sandbox", "nats", "postgres", "seaweedfs")


@pytest.fixture(scope="module")
def system() -> Iterator[Composed]:
    """The composed system, started from nothing."""
    with Composed(f"fluxline-test-{uuid.uuid4().hex[:8]}") as running:
        yield running


@pytest.fixture(scope="module")
def api_key(system: Composed) -> str:
    return system.api_key()


@pytest.fixture
async def api(system: Composed, api_key: str) -> AsyncIterator[httpx.AsyncClient]:
    async with system.client(api_key) as client:
        yield client


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_photos(tmp_path_factory.mktemp("photos"), count=6, size=(800, 600), seed=11)


async def completed(api: httpx.AsyncClient, training_id: str) -> Json:
    training = await until_status(api, training_id)
    assert (training["status"], training["error"]) == ("completed", None)
    return training


async def counts(system: Composed) -> Json:
    async with httpx.AsyncClient(base_url=system.sandbox_url, timeout=20) as sandbox:
        state: Json = (await sandbox.get("/_sandbox/state")).json()
        return state


async def test_photos_become_a_published_model_and_the_collector_has_seen_it(
    api: httpx.AsyncClient, photos: list[Path]
) -> None:
    training = await submit(api, job(await upload(api, photos)))
    done = await completed(api, training["id"])
    assert done["result"]["huggingface"]["repo"]
    summary = (await api.get(f"/v1/trainings/{training['id']}/debug")).json()
    assert summary["status"] == "succeeded", summary


async def test_work_spreads_over_replicas(system: Composed, api: httpx.AsyncClient, photos: list[Path]) -> None:
    system.up("--scale", "zipper=3", "--scale", "publisher=2")
    images = await upload(api, photos)
    before = await counts(system)
    ids = [(await submit(api, job(images, name=f"Job {number}")))["id"] for number in range(16)]
    await asyncio.gather(*(completed(api, each) for each in ids))
    after = await counts(system)
    assert [after[what] - before[what] for what in ("trainings", "commits")] == [16, 16]
    for service, replicas in (("zipper", 3), ("publisher", 2)):
        shares = system.stages_of_replicas(service)
        assert len(shares) == replicas
        assert all(shares), f"{service}: {shares}"
    system.up("--scale", "zipper=1", "--scale", "publisher=1")


@pytest.mark.parametrize("victim", KILLED)
async def test_a_job_survives_the_kill_of_any_container(
    system: Composed, api: httpx.AsyncClient, photos: list[Path], victim: str
) -> None:
    images = await upload(api, photos)
    before = await counts(system)
    training = await submit(api, job(images, name=f"Survivor of {victim}"))
    await until_status(api, training["id"], "training")
    await asyncio.to_thread(system.kill, victim)
    await completed(api, training["id"])
    after = await counts(system)
    assert [after[what] - before[what] for what in ("trainings", "commits")] == [1, 1]


async def test_what_is_stored_is_there_after_down_and_up(system: Composed, api: httpx.AsyncClient) -> None:
    before = (await api.get("/v1/trainings", params={"limit": 100})).json()["items"]
    assert before
    await asyncio.to_thread(system.compose, "down", "--timeout", "20")
    await asyncio.to_thread(system.up)
    after = (await api.get("/v1/trainings", params={"limit": 100})).json()["items"]
    assert [each["id"] for each in after] == [each["id"] for each in before]
    model = (await api.get("/v1/models")).json()["items"][0]
    weights = await api.get(f"/v1/models/{model['id']}/weights")
    assert weights.status_code == 307
