"""Three NATS servers that keep each stream three times: the leader dies, under load."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from random import Random

import nats
import pytest

from fluxline.runtime.provision import provision
from polling import poll_until
from servers import NatsServer, nats_cluster

from .conftest import Observe
from .load import Load
from .rows import fault
from .scene import Scene
from .stack import SERVICES

KILLS = 5
Cluster = dict[str, NatsServer]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Three servers, with the streams of the catalog."""
    with nats_cluster() as servers:
        asyncio.run(provision(",".join(urls(servers)), replicas=len(servers)))
        yield servers


@pytest.fixture
async def on_cluster(scene: Scene, cluster: Cluster) -> AsyncIterator[Scene]:
    """The scene, with every service at the cluster."""
    monitors = ",".join(server.monitor_url for server in cluster.values())
    settings = {"NATS_URL": ",".join(urls(cluster)), "NATS_MONITOR_URL": monitors, "NATS_REPLICAS": str(len(cluster))}
    for name in SERVICES:
        await scene.stack.restart(name, **settings)
    yield scene
    for name in SERVICES:
        await scene.stack.restart(name)


def urls(cluster: Cluster) -> list[str]:
    return [server.url for server in cluster.values()]


async def kill_leader(cluster: Cluster, stream: str) -> None:
    """kill -9 of the server that leads the stream, which comes back once another one leads."""
    leader = await leader_of(cluster, stream)
    await asyncio.to_thread(cluster[leader].kill)
    await poll_until(lambda: has_other_leader(cluster, stream, leader), timeout_s=30)
    await asyncio.to_thread(cluster[leader].start)


async def has_other_leader(cluster: Cluster, stream: str, former: str) -> bool:
    others = {name: server for name, server in cluster.items() if name != former}
    try:
        return await leader_of(others, stream) not in ("", former)
    except (nats.errors.Error, nats.js.errors.Error):
        return False


async def leader_of(cluster: Cluster, stream: str) -> str:
    client = await nats.connect(urls(cluster), connect_timeout=5)
    try:
        info = await client.jetstream(timeout=2).stream_info(stream)
        return (info.cluster and info.cluster.leader) or ""
    finally:
        await client.close()


@fault(
    "F198",
    component="NATS cluster",
    fault=f"kill -9 of the stream's leader ×{KILLS} while events are published without pause (3 servers, 3 replicas)",
    promise="acknowledged minus read is empty; nothing is stored twice",
)
async def test_what_a_cluster_acknowledged_is_there_after_every_kill_of_its_leader(
    cluster: Cluster, observe: Observe, seed: Random
) -> None:
    async with Load(urls(cluster), replicas=len(cluster)) as load:
        for _ in range(KILLS):
            await load.until_more(seed.randint(20, 120))
            await kill_leader(cluster, "LOAD")
        await load.until_more(20)
    found = await load.read()
    assert not set(load.acknowledged) - set(found)
    assert len(found) == len(set(found))
    observe(f"{KILLS} kills, 0 lost, 0 twice")


@fault(
    "F199",
    component="NATS cluster",
    fault="kill -9 of the leader of EVENTS ×3 while ten jobs run (3 servers, 3 replicas)",
    promise="every job completes; one bill, one publication each",
)
async def test_jobs_survive_the_loss_of_the_clusters_leader(
    on_cluster: Scene, cluster: Cluster, observe: Observe, seed: Random
) -> None:
    ids = await on_cluster.submit(10)
    for _ in range(3):
        await asyncio.sleep(seed.uniform(0.2, 1.5))
        await kill_leader(cluster, "EVENTS")
    observe(await on_cluster.completed(ids, timeout_s=180))
