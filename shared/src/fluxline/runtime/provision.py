"""The one place that makes streams and consumers: `python -m fluxline.runtime.provision`.

Creates what is missing and updates what differs, so that the servers equal the catalog; binding to a durable
that exists would ignore changed settings.
"""

import asyncio
import os
import sys

import nats
from nats.js import JetStreamContext
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DeliverPolicy,
    DiscardPolicy,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)
from nats.js.errors import BadRequestError, NotFoundError

from fluxline.contracts.catalog import CONSUMERS, STREAMS, Consumer, Stream

TIMEOUT_S = 10.0


async def provision(nats_url: str, *, replicas: int = 1) -> None:
    """Make the JetStream at `nats_url` equal to the catalog. Safe to run any number of times, and at once."""
    client = await nats.connect(
        nats_url.split(","), connect_timeout=5, max_reconnect_attempts=20, reconnect_time_wait=0.5
    )
    try:
        jetstream = client.jetstream(timeout=TIMEOUT_S)
        for stream in STREAMS:
            await _ensure_stream(jetstream, stream_config(stream, replicas))
        for consumer in CONSUMERS:
            await jetstream.add_consumer(consumer.stream.name, config=consumer_config(consumer))
    finally:
        await client.close()


async def _ensure_stream(jetstream: JetStreamContext, config: StreamConfig) -> None:
    try:
        await jetstream.stream_info(config.name or "")
    except NotFoundError:
        try:
            await jetstream.add_stream(config)
            return
        except BadRequestError:  # somebody else made it in the meantime
            pass
    await jetstream.update_stream(config)


def stream_config(stream: Stream, replicas: int) -> StreamConfig:
    """The server's configuration of a catalog stream."""
    return StreamConfig(
        name=stream.name,
        subjects=list(stream.subjects),
        retention=RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        discard=DiscardPolicy.OLD if stream.name != "EVENTS" else DiscardPolicy.NEW,
        max_age=stream.max_age_s,
        max_bytes=stream.max_bytes,
        max_msg_size=stream.max_msg_bytes,
        num_replicas=replicas,
        duplicate_window=stream.duplicate_window_s,
        allow_direct=True,
        allow_rollup_hdrs=stream.schedules,
        allow_msg_schedules=stream.schedules or None,
    )


def consumer_config(consumer: Consumer) -> ConsumerConfig:
    """The server's configuration of a catalog consumer."""
    return ConsumerConfig(
        name=consumer.durable,
        durable_name=consumer.durable,
        filter_subjects=list(consumer.subjects),
        deliver_policy=DeliverPolicy.ALL,
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=consumer.ack_wait_s,
        max_deliver=consumer.max_deliver,
        max_ack_pending=consumer.max_ack_pending,
    )


def main() -> None:
    """Provision the servers of NATS_URL."""
    nats_url = os.environ.get("NATS_URL")
    if not nats_url:
        sys.exit("NATS_URL: is not set → set it to the NATS servers, like nats://127.0.0.1:4222")
    asyncio.run(provision(nats_url, replicas=int(os.environ.get("NATS_REPLICAS", "1"))))


if __name__ == "__main__":
    main()
