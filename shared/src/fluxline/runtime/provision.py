"""The one place that makes streams and consumers: `python -m fluxline.runtime.provision`.

Creates what is missing and updates what differs, so that the servers equal the catalog; binding to a durable
that exists would ignore changed settings.
"""

import asyncio
import time
from ssl import SSLContext

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

from fluxline.contracts.catalog import (
    CONSUMERS,
    EVENTS_STREAM,
    OUTCOMES_BUCKET,
    OUTCOMES_KEEP_S,
    STREAMS,
    Consumer,
    Stream,
)
from fluxline.runtime.nats_tls import client_tls
from fluxline.runtime.settings import ServiceSettings, load

TIMEOUT_S = 10.0
OUTCOMES_BYTES = 256 * 1024**2


async def provision(
    nats_url: str,
    *,
    tls: SSLContext | None = None,
    replicas: int = 1,
    only_missing: bool = False,
    inbox_prefix: str = "_INBOX",
) -> None:
    """Make the JetStream at `nats_url` equal to the catalog. Safe to run any number of times, and at once.

    With `only_missing` what is there stays as it is: how a service mends a JetStream that lost something.
    """
    client = await nats.connect(
        [url.strip() for url in nats_url.split(",")],
        tls=tls,
        connect_timeout=5,
        max_reconnect_attempts=20,
        reconnect_time_wait=0.5,
        inbox_prefix=inbox_prefix,
    )
    try:
        jetstream = client.jetstream(timeout=TIMEOUT_S)
        for config in stream_configs(replicas):
            await _ensure_stream(jetstream, config, only_missing=only_missing)
        for consumer in CONSUMERS:
            await _ensure_consumer(jetstream, consumer, only_missing=only_missing)
    finally:
        await client.close()


def stream_configs(replicas: int) -> list[StreamConfig]:
    """Every stream that there has to be, the one behind the bucket of outcomes included."""
    return [*(stream_config(stream, replicas) for stream in STREAMS), _bucket_config(replicas)]


async def _ensure_stream(jetstream: JetStreamContext, config: StreamConfig, *, only_missing: bool) -> None:
    try:
        await jetstream.stream_info(config.name or "")
    except NotFoundError:
        try:
            first = _first_sequence() if config.name == EVENTS_STREAM.name else None
            await jetstream.add_stream(config.evolve(first_seq=first))
            return
        except BadRequestError:  # somebody else made it in the meantime
            pass
    if not only_missing:
        found = (await jetstream.stream_info(config.name or "")).config
        if _has_more_room(config, found):
            config = config.evolve(max_bytes=found.max_bytes)
        await jetstream.update_stream(config)


def _has_more_room(wanted: StreamConfig, found: StreamConfig) -> bool:
    """Whether an operator gave the stream more room than the catalog does: that stays (docs/scaling.md)."""
    return found.max_bytes in (None, -1) or (found.max_bytes or 0) > (wanted.max_bytes or 0)


def _first_sequence() -> int:
    """Microseconds since 1970: a stream of events that is made again goes on above every sequence of the lost one.

    So "newer" stays "greater" for whoever remembers sequences. They stay below 2^53, which JSON readers need.
    """
    return time.time_ns() // 1000


async def _ensure_consumer(jetstream: JetStreamContext, consumer: Consumer, *, only_missing: bool) -> None:
    if only_missing:
        try:
            await jetstream.consumer_info(consumer.stream.name, consumer.durable)
            return
        except NotFoundError:
            pass
    await jetstream.add_consumer(consumer.stream.name, config=consumer_config(consumer))


def drift(wanted: StreamConfig | ConsumerConfig, found: StreamConfig | ConsumerConfig) -> list[str]:
    """The settings in which a server's configuration differs from the catalog's; empty when it is equal, or roomier."""
    names: tuple[str, ...] = _CHECKED_OF_STREAM if isinstance(wanted, StreamConfig) else _CHECKED_OF_CONSUMER
    if isinstance(wanted, StreamConfig) and isinstance(found, StreamConfig) and _has_more_room(wanted, found):
        names = tuple(name for name in names if name != "max_bytes")
    return [name for name in names if _plain(getattr(wanted, name)) != _plain(getattr(found, name))]


_CHECKED_OF_STREAM = (
    *("subjects", "retention", "storage", "discard", "max_age", "max_bytes", "max_msg_size", "num_replicas"),
    *("duplicate_window", "max_msgs_per_subject", "allow_rollup_hdrs", "allow_msg_schedules", "persist_mode"),
)
_CHECKED_OF_CONSUMER = ("filter_subjects", "ack_policy", "ack_wait", "max_deliver", "max_ack_pending")


def _plain(value: object) -> object:
    """Servers leave out what is off, and say one subject as a text where we say a list."""
    return sorted(value) if isinstance(value, list) else value or None


def _bucket_config(replicas: int) -> StreamConfig:
    """The stream of a key-value bucket (NATS architecture record ADR-8), which keeps the last value of each key."""
    return StreamConfig(
        name=f"KV_{OUTCOMES_BUCKET}",
        subjects=[f"$KV.{OUTCOMES_BUCKET}.>"],
        retention=RetentionPolicy.LIMITS,
        max_bytes=OUTCOMES_BYTES,
        duplicate_window=120.0,
        storage=StorageType.FILE,
        discard=DiscardPolicy.NEW,
        max_age=OUTCOMES_KEEP_S,
        max_msgs_per_subject=1,
        num_replicas=replicas,
        allow_direct=False,
        allow_rollup_hdrs=True,
        deny_delete=True,
    )


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
    settings = load(ServiceSettings)
    tls = client_tls(settings.nats_ca_file)
    asyncio.run(provision(settings.nats_url, tls=tls, replicas=settings.nats_replicas))


if __name__ == "__main__":
    main()
