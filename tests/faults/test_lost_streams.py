"""JetStream loses what it has: streams with everything in them, a consumer, the safety of its configuration."""

import asyncio
import shutil

import nats
from nats.js.api import ConsumerConfig

from polling import poll_until

from .conftest import Observe
from .rows import fault
from .scene import Scene

SETTINGS = {"GATEWAY_AUDIT_S": "2"}


@fault(
    "F180",
    component="NATS",
    fault="its data directory is deleted while five jobs run",
    promise="streams are made anew, what was lost is sent again; every job completes, one bill each",
)
async def test_jobs_survive_the_loss_of_all_streams(scene: Scene, observe: Observe) -> None:
    await scene.providers(training_seconds=3)
    ids = await scene.submit(5)
    for each in ids:
        await scene.until(each, "training")
    await scene.stack.stop("nats", crash=True)
    shutil.rmtree(scene.stack.home / "nats" / "jetstream")
    await scene.stack.start("nats")
    observe(await scene.completed(ids, timeout_s=120, copies=True))


@fault(
    "F181",
    component="NATS",
    fault="its data directory is deleted while jobs wait that no service has seen yet",
    promise="the gateway's outbox fills the new stream; every job completes",
)
async def test_requests_that_only_the_stream_had_are_sent_again(scene: Scene, observe: Observe) -> None:
    async with scene.stack.without("zipper"):
        ids = await scene.submit(3)
        await poll_until(lambda: _all_published(scene), timeout_s=20)
        await scene.stack.stop("nats", crash=True)
        shutil.rmtree(scene.stack.home / "nats" / "jetstream")
        await scene.stack.start("nats")
    observe(await scene.completed(ids, timeout_s=120, copies=True))


@fault(
    "F182",
    component="NATS",
    fault="the zipper's consumer is deleted under it",
    promise="its process ends within 5 s, the consumer is made again, nothing is lost",
)
async def test_a_deleted_consumer_is_noticed_and_made_again(scene: Scene, observe: Observe) -> None:
    pid = scene.stack.pid("zipper")
    client = await nats.connect(scene.stack.state["nats_url"])
    try:
        await client.jetstream().delete_consumer("EVENTS", "zipper")
        ids = await scene.submit(2)
        await poll_until(lambda: scene.stack.pid("zipper") != pid, timeout_s=10)
        seen = await scene.completed(ids)
        info = await client.jetstream().consumer_info("EVENTS", "zipper")
        assert info.config.max_deliver == 20
    finally:
        await client.close()
    observe(f"process replaced, consumer back; {seen}")


@fault(
    "F183",
    component="NATS",
    fault="a consumer's settings are changed by hand; its service restarts",
    promise="the service waits and says so; provisioning puts them right",
)
async def test_a_drifted_consumer_is_put_right_by_provisioning(scene: Scene, observe: Observe) -> None:
    client = await nats.connect(scene.stack.state["nats_url"])
    try:
        jetstream = client.jetstream()
        config: ConsumerConfig = (await jetstream.consumer_info("EVENTS", "zipper")).config
        config.max_ack_pending = 7
        await jetstream.add_consumer("EVENTS", config=config)
        await scene.stack.stop("zipper")
        await scene.stack.start("zipper", wait=False)
        await poll_until(lambda: "differs from the catalog" in scene.stack.log("zipper"), timeout_s=20)
        await scene.stack.provision()
        await scene.healthy()
        assert (await jetstream.consumer_info("EVENTS", "zipper")).config.max_ack_pending == 1000
    finally:
        await client.close()
    observe(f"waited, put right; {await scene.completed(await scene.submit())}")


@fault(
    "F184",
    component="NATS",
    fault="a server that acknowledges before it syncs, in production",
    promise="every service refuses to start, with the remedy",
)
async def test_production_refuses_a_server_that_could_lose_acknowledged_messages(
    scene: Scene, observe: Observe
) -> None:
    config = scene.stack.home / "nats" / "nats.conf"
    safe = config.read_text()
    await scene.stack.stop("nats")
    config.write_text(safe.replace(", sync_interval: always", ""))
    await scene.stack.start("nats")
    try:
        status, said = await scene.stack.try_out("publisher", FLUXLINE_PRODUCTION="true")
    finally:
        await scene.stack.stop("nats")
        config.write_text(safe)
        await scene.stack.start("nats")
    assert status == 78, said
    assert "sync_interval: always" in said
    status, said = await scene.stack.try_out("publisher", FLUXLINE_PRODUCTION="true", seconds=5)
    assert status is None, f"it ended with {status}: {said}"
    observe("exit 78, naming `sync_interval: always`; starts with a safe server")


async def _all_published(scene: Scene) -> bool:
    rows = await scene.query("SELECT count(*) FROM gateway.outbox WHERE published_at IS NULL")
    await asyncio.sleep(0)
    return rows[0][0] == 0
