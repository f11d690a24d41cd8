"""Batches for the two consumers that store rather than work: the gateway's projection, the collector.

Straight on nats-py, because a batch must be taken as soon as it is there, not when it is full, and because
its messages are settled together.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import nats.errors
import nats.js.errors
from nats.aio.msg import Msg
from nats.js import JetStreamContext

from fluxline.contracts.catalog import Consumer
from fluxline.contracts.errors import FluxlineError
from fluxline.runtime.bus import Bus
from fluxline.runtime.envelope import Received, received_from
from fluxline.runtime.logs import get_logger

BatchHandler = Callable[[list[Received]], Awaitable[None]]
"""Stores all of the batch or raises; called again with the same messages until it succeeds."""

FETCH_TIMEOUT_S = 5.0
RETRY_DELAY_S = 1.0

log = get_logger(__name__)


async def consume_batches(bus: Bus, consumer: Consumer, handle: BatchHandler) -> None:
    """Fetch, handle, acknowledge, until the bus stops. What `handle` raises on comes back after a second, complete."""
    subscription = await bus.jetstream.pull_subscribe_bind(consumer.durable, stream=consumer.stream.name)
    try:
        await _consume(bus, consumer, handle, subscription)
    finally:  # or draining the connection would wait 30 s for messages that fetch() took without telling the queue
        with suppress(nats.errors.Error):
            await subscription.unsubscribe()


async def _consume(
    bus: Bus, consumer: Consumer, handle: BatchHandler, subscription: JetStreamContext.PullSubscription
) -> None:
    while not bus.stopping:  # a cancelled fetch may look like a closed connection (nats-py)
        try:
            messages = await subscription.fetch(batch=consumer.batch, timeout=FETCH_TIMEOUT_S)
        except TimeoutError:
            continue
        except (nats.errors.Error, nats.js.errors.Error) as error:
            log.warning("fetch.failed", durable=consumer.durable, error=type(error).__name__)
            await asyncio.sleep(RETRY_DELAY_S)
            continue
        if messages and not await _handle(consumer, handle, messages):
            await asyncio.sleep(RETRY_DELAY_S)  # or what comes meanwhile would fail one by one


async def _handle(consumer: Consumer, handle: BatchHandler, messages: list[Msg]) -> bool:
    """Whether the batch is handled; what is not comes back."""
    try:
        await handle([received_from(message) for message in messages])
    except Exception as error:
        is_ours = isinstance(error, FluxlineError | OSError)
        log.warning(
            "batch.failed",
            durable=consumer.durable,
            messages=len(messages),
            error=str(error) or type(error).__name__,
            exc_info=not is_ours,
        )
        for message in messages:
            with suppress(nats.errors.Error):
                await message.nak(delay=RETRY_DELAY_S)
        return False
    for message in messages:
        with suppress(nats.errors.Error):
            await message.ack()
    return True
