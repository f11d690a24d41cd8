"""Messages of a stream, out into a file and back: a line of JSON each, compressed."""

import base64
import gzip
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final

import nats
import nats.errors
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import NotFoundError

from fluxline.contracts.catalog import ADVISORIES_STREAM, DLQ_STREAM, EVENTS_STREAM, OUTCOMES_BUCKET, TIMERS_STREAM
from fluxline_cli.backup.errors import BackupError
from fluxline_cli.backup.manifest import StreamCopy, describe

OUTCOMES_STREAM: Final = f"KV_{OUTCOMES_BUCKET}"
COPIED: Final = (DLQ_STREAM.name, OUTCOMES_STREAM)
"""What holds facts that are nowhere else: the rest comes from the outboxes, or is made again by whoever is asked."""
MADE_ANEW: Final = (EVENTS_STREAM.name, TIMERS_STREAM.name, ADVISORIES_STREAM.name, OUTCOMES_STREAM)
"""What says where work stands: with another database than the one it was written with, it would mislead."""
BATCH: Final = 200
WAIT_S: Final = 10.0
_KEPT_HEADERS: Final = ("Nats-Msg-Id",)

Line = dict[str, Any]


async def copy(jetstream: JetStreamContext, stream: str, target: Path) -> StreamCopy:
    """Write every message that `stream` has now into `target`; memory does not grow with their number."""
    messages = 0
    with gzip.open(target, "wt", encoding="utf-8") as file:
        async for message in messages_of(jetstream, stream):
            file.write(json.dumps(_line(message)) + "\n")
            messages += 1
    return StreamCopy(file=describe(target), messages=messages)


async def put_back(jetstream: JetStreamContext, stream: str, source: Path) -> int:
    """Publish what `copy` wrote, in its order; returns how many messages that were."""
    messages = 0
    for line in _lines(source):
        await jetstream.publish(
            line["subject"],
            base64.b64decode(line["body"]),
            timeout=WAIT_S,
            stream=stream,
            headers={name: value for name, value in line["headers"].items() if _is_ours(name)},
        )
        messages += 1
    return messages


async def messages_of(
    jetstream: JetStreamContext, stream: str, *, subject: str = ">", after: int = 0
) -> AsyncIterator[Msg]:
    """What `stream` has now, above the sequence `after`, oldest first; nothing when there is no such stream."""
    policy = DeliverPolicy.BY_START_SEQUENCE if after else DeliverPolicy.ALL
    config = ConsumerConfig(
        deliver_policy=policy,
        opt_start_seq=after + 1 if after else None,
        filter_subject=subject,
        ack_policy=AckPolicy.NONE,
        inactive_threshold=300.0,
        mem_storage=True,
        num_replicas=1,
    )
    try:
        consumer = await jetstream.add_consumer(stream, config)
    except NotFoundError:
        return
    left = consumer.num_pending or 0
    subscription = await jetstream.pull_subscribe_bind(consumer=consumer.name, stream=stream)
    try:
        while left:
            try:
                batch = await subscription.fetch(min(BATCH, left), timeout=WAIT_S)
            except nats.errors.TimeoutError:
                raise BackupError(f"NATS stopped sending the messages of {stream}", hint="try again") from None
            for message in batch:
                yield message
            left = min(left - len(batch), batch[-1].metadata.num_pending)
    finally:
        await subscription.unsubscribe()


async def state_of(jetstream: JetStreamContext, stream: str) -> tuple[int, int]:
    """How many messages a stream has, and its last sequence; zeros when it does not exist."""
    try:
        state = (await jetstream.stream_info(stream)).state
    except NotFoundError:
        return 0, 0
    return state.messages, state.last_seq


async def consumers_at_work(jetstream: JetStreamContext) -> list[str]:
    """The durables that somebody is asking for messages now."""
    try:
        infos = await jetstream.consumers_info(EVENTS_STREAM.name)
    except NotFoundError:
        return []
    return sorted(info.name for info in infos if info.num_waiting)


async def remove(jetstream: JetStreamContext, stream: str) -> None:
    """Delete a stream with its consumers, if it exists."""
    try:
        await jetstream.delete_stream(stream)
    except NotFoundError:
        return


def _line(message: Msg) -> Line:
    return {
        "sequence": message.metadata.sequence.stream,
        "stored_at": message.metadata.timestamp.isoformat(),
        "subject": message.subject,
        "headers": message.headers or {},
        "body": base64.b64encode(message.data).decode(),
    }


def _lines(source: Path) -> Iterator[Line]:
    with gzip.open(source, "rt", encoding="utf-8") as file:
        yield from map(json.loads, file)


def _is_ours(header: str) -> bool:
    """Other headers of NATS were conditions on the stream of then."""
    return header in _KEPT_HEADERS or not header.startswith("Nats-")
