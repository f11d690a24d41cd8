"""Batches for the two consumers that store rather than work: the gateway's projection, the collector.

Straight on nats-py, because a batch must be taken as soon as it is there, not when it is full, and because
its messages are settled together.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

import nats.errors
from nats.aio.msg import Msg

from fluxline.contracts.catalog import Consumer
from fluxline.contracts.errors import FluxlineError
from fluxline.runtime.bus import Bus
from fluxline.runtime.cancelation import raise_if_canceled
from fluxline.runtime.envelope import Received, received_from
from fluxline.runtime.errors import as_fluxline_error
from fluxline.runtime.logs import get_logger
from fluxline.runtime.message_metrics import MessageMetrics
from fluxline.runtime.pulling import Puller

BatchHandler = Callable[[list[Received]], Awaitable[None]]
"""Stores all of the batch or raises; called again with the same messages until it succeeds."""

RETRY_DELAY_S = 1.0

log = get_logger(__name__)


async def consume_batches(
    bus: Bus, consumer: Consumer, handle: BatchHandler, metrics: MessageMetrics | None = None
) -> None:
    """Fetch, handle, acknowledge, until the bus stops. What `handle` raises on comes back after a second, complete."""
    metrics = metrics or MessageMetrics()
    async with Puller(bus.jetstream._nc, consumer.stream.name, consumer.durable, consumer.batch) as puller:
        while not bus.stopping:
            raise_if_canceled()
            try:
                messages = await puller.next()
            except nats.errors.Error as error:
                log.warning("fetch.failed", durable=consumer.durable, error=str(error) or type(error).__name__)
                await asyncio.sleep(RETRY_DELAY_S)
                continue
            if messages and not await _handle(bus, consumer, handle, messages, metrics):
                await asyncio.sleep(RETRY_DELAY_S)  # or what comes meanwhile would fail one by one


async def _handle(
    bus: Bus, consumer: Consumer, handle: BatchHandler, messages: list[Msg], metrics: MessageMetrics
) -> bool:
    """Whether the batch is handled; what is not comes back."""
    received, began_ns = [received_from(message) for message in messages], time.time_ns()
    metrics.begin(consumer, *received)
    error = await _try(consumer, handle, received)
    metrics.end_all(consumer, received, "retried" if error else "succeeded")
    bus.spans.batch(consumer, received, began_ns, error)
    for message in messages:
        with suppress(nats.errors.Error):
            await (message.nak(delay=RETRY_DELAY_S) if error else message.ack())
    return not error


async def _try(consumer: Consumer, handle: BatchHandler, received: list[Received]) -> str | None:
    """The category of what went wrong."""
    try:
        await handle(received)
    except Exception as error:
        is_ours = isinstance(error, FluxlineError | OSError)
        log.warning(
            "batch.failed",
            durable=consumer.durable,
            messages=len(received),
            error=str(error) or type(error).__name__,
            exc_info=not is_ours,
        )
        return as_fluxline_error(error).category.value
    return None
