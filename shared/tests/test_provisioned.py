"""What a service asks of JetStream before and while it works, on real servers."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
from nats.js import JetStreamContext
from nats.js.api import ConsumerConfig

from fluxline.contracts.catalog import ADVISORIES_STREAM, CONSUMERS, EVENTS_STREAM, ZIPPER, ZIPPER_CLEANUP
from fluxline.runtime import provisioned as provisioned_module
from fluxline.runtime.bus import Bus
from fluxline.runtime.provision import consumer_config, drift, provision, stream_configs
from fluxline.runtime.provisioned import Gone, Provisioned, Unsafe, require_power_cut_safety
from fluxline.runtime.settings import ServiceSettings
from fluxline.runtime.telemetry import make_tracer_provider
from processes import Process, free_ports, script
from servers import NatsServer, answers


@pytest.fixture
async def zipper(nats: NatsServer, jetstream: JetStreamContext) -> AsyncIterator[Provisioned]:
    """What the zipper needs of JetStream, with everything there."""
    bus = Bus("zipper", nats.url, make_tracer_provider("zipper", None))
    await bus.broker.connect()
    provisioned = Provisioned(bus, ServiceSettings(nats_url=nats.url, _env_file=None))
    provisioned.consumers += [ZIPPER, ZIPPER_CLEANUP]
    yield provisioned
    bus.stopping = True
    await bus.broker.stop()


async def test_provisioning_makes_the_server_equal_to_the_catalog_from_any_state(
    nats: NatsServer, jetstream: JetStreamContext
) -> None:
    changed = consumer_config(ZIPPER)
    changed.ack_wait, changed.max_ack_pending = 99.0, 3
    await jetstream.add_consumer("EVENTS", config=changed)
    await jetstream.delete_stream("DLQ")
    await provision(nats.url)
    for config in stream_configs(1):
        assert drift(config, (await jetstream.stream_info(config.name or "")).config) == [], config.name
    for consumer in CONSUMERS:
        found = await jetstream.consumer_info(consumer.stream.name, consumer.durable)
        assert drift(consumer_config(consumer), found.config) == [], consumer.durable


@pytest.mark.parametrize(("given", "then"), [(65 * 2**20, 65 * 2**20), (2**20, 64 * 2**20)])
async def test_room_that_an_operator_gives_a_stream_stays_and_room_that_is_missing_comes_back(
    nats: NatsServer, jetstream: JetStreamContext, given: int, then: int
) -> None:
    [wanted] = [config for config in stream_configs(1) if config.name == ADVISORIES_STREAM.name]
    await jetstream.update_stream(wanted.evolve(max_bytes=given))
    changed = (await jetstream.stream_info(ADVISORIES_STREAM.name)).config
    assert drift(wanted, changed) == ([] if given == then else ["max_bytes"])
    await provision(nats.url)
    assert (await jetstream.stream_info(ADVISORIES_STREAM.name)).config.max_bytes == then


async def test_a_stream_that_is_made_anew_counts_on_above_the_lost_one(
    nats: NatsServer, jetstream: JetStreamContext
) -> None:
    before = (await jetstream.publish("stage.started", b"{}", stream=EVENTS_STREAM.name)).seq
    await jetstream.delete_stream(EVENTS_STREAM.name)
    await provision(nats.url)
    after = (await jetstream.publish("stage.started", b"{}", stream=EVENTS_STREAM.name)).seq
    assert before < after < 2**53


async def test_a_service_puts_back_what_jetstream_has_lost(zipper: Provisioned, jetstream: JetStreamContext) -> None:
    await jetstream.delete_consumer("EVENTS", ZIPPER.durable)
    async with asyncio.timeout(10):
        await zipper.wait()
    assert (await jetstream.consumer_info("EVENTS", ZIPPER.durable)).config.max_deliver == ZIPPER.max_deliver


async def test_a_service_waits_while_settings_differ_and_changes_none(
    zipper: Provisioned, nats: NatsServer, jetstream: JetStreamContext
) -> None:
    config: ConsumerConfig = consumer_config(ZIPPER)
    config.max_ack_pending = 7
    await jetstream.add_consumer("EVENTS", config=config)
    waiting = asyncio.create_task(zipper.wait())
    with suppress(TimeoutError):
        await asyncio.wait_for(asyncio.shield(waiting), 1.5)
    assert not waiting.done()
    assert (await jetstream.consumer_info("EVENTS", ZIPPER.durable)).config.max_ack_pending == 7
    await provision(nats.url)
    async with asyncio.timeout(5):
        await waiting


async def test_a_consumer_that_disappears_is_noticed_within_five_seconds(
    zipper: Provisioned, jetstream: JetStreamContext
) -> None:
    await zipper.wait()
    watching = asyncio.create_task(zipper.watch())
    await jetstream.delete_consumer("EVENTS", ZIPPER_CLEANUP.durable)
    async with asyncio.timeout(5):
        with pytest.raises(Gone):
            await watching


async def test_an_outage_of_nats_is_no_disappearance(
    zipper: Provisioned, nats: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provisioned_module, "WATCH_S", 0.05)
    await zipper.wait()
    watching = asyncio.create_task(zipper.watch())
    for _ in range(3):
        await asyncio.to_thread(nats.kill)
        await asyncio.to_thread(nats.start)
    done, _ = await asyncio.wait([watching], timeout=2)
    watching.cancel()
    assert not done


async def test_a_server_that_acknowledges_before_it_syncs_is_refused(nats: NatsServer, tmp_path: Path) -> None:
    await require_power_cut_safety(nats.monitor_url)
    port, monitor = free_ports(2)
    config = tmp_path / "nats.conf"
    config.write_text(
        f"listen: 127.0.0.1:{port}\nhttp: 127.0.0.1:{monitor}\njetstream {{ store_dir: {json.dumps(str(tmp_path))} }}\n"
    )
    url = f"http://127.0.0.1:{monitor}"
    command = [script("nats-server"), "-c", str(config)]
    server = Process(command, tmp_path / "log", lambda _pid: answers(f"{url}/healthz?js-server-only=true", 200))
    with server, pytest.raises(Unsafe, match="does not sync"):
        await require_power_cut_safety(url)
