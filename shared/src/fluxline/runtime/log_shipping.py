"""The way of a process's log to the stream LOGS: in batches, in the background, and never in anybody's way.

While NATS is away records wait in their queue, where the oldest give way; nothing here raises, and nothing is logged of
it that would be shipped again. A repeated batch has the same id, so the stream drops it.
"""

import asyncio
import time
from typing import Final

from prometheus_client import CollectorRegistry, Counter

from fluxline.contracts.catalog import LOGS_STREAM
from fluxline.contracts.errors import FluxlineError
from fluxline.contracts.logs import LOGS_SUBJECT
from fluxline.runtime.bus import Bus, MessageRefused, publish_as_it_is
from fluxline.runtime.cancelation import raise_if_canceled
from fluxline.runtime.envelope import MSG_ID
from fluxline.runtime.errors import BrokerUnavailable
from fluxline.runtime.log_records import LogQueue, instance_name
from fluxline.runtime.logs import get_logger

FLUSH_S: Final = 0.5
RETRY_S: Final = 1.0
LAST_FLUSH_S: Final = 2.0
"""For what is left at the end of the process."""
BATCH_RECORDS: Final = 500
BATCH_BYTES: Final = 256 * 1024

log = get_logger(__name__)


class LogShipper:
    """Publishes what waits in the queue. `run` until cancelled, then `flush`."""

    def __init__(self, bus: Bus, queue: LogQueue, registry: CollectorRegistry) -> None:
        self._bus = bus
        self._queue = queue
        self._shipped = Counter("fluxline_logs_shipped", "Log records shipped", registry=registry)
        self._dropped = Counter("fluxline_logs_dropped", "Log records lost before they were shipped", registry=registry)
        queue.on_dropped = self._dropped.inc
        self._process = f"{instance_name()}/{time.time_ns()}"
        self._batch: list[bytes] = []
        self._number = 0

    async def run(self) -> None:
        """For ever."""
        wait_s = FLUSH_S
        while True:
            raise_if_canceled()
            await asyncio.sleep(wait_s)
            wait_s = FLUSH_S
            try:
                await self._ship_all()
            except FluxlineError:
                wait_s = RETRY_S
            except Exception as error:  # a log must never end the process that writes it
                log.warning("logs.not_shipped", error=type(error).__name__)
                wait_s = RETRY_S

    async def flush(self) -> None:
        """Ship what is left, if that is quick."""
        try:
            async with asyncio.timeout(LAST_FLUSH_S):
                await self._ship_all()
        except Exception as error:  # the process is ending, and does so whatever happens
            log.warning("logs.not_shipped", error=type(error).__name__)

    async def _ship_all(self) -> None:
        """Until nothing waits; raises with the batch still in hand."""
        while self._batch or self._next():
            await self._publish()
            self._batch = []
            self._number += 1

    def _next(self) -> bool:
        self._batch = self._queue.take(max_records=BATCH_RECORDS, max_bytes=BATCH_BYTES)
        return bool(self._batch)

    async def _publish(self) -> None:
        jetstream = self._bus.jetstream
        if not jetstream._nc.is_connected:  # or the client would keep a copy of each attempt, in the events' buffer
            raise BrokerUnavailable("NATS is not connected")
        subject, headers = f"{LOGS_SUBJECT}.{self._bus.service}", {MSG_ID: f"{self._process}/{self._number}"}
        try:
            await publish_as_it_is(jetstream, subject, b"\n".join(self._batch), headers, LOGS_STREAM.name)
            self._shipped.inc(len(self._batch))
        except MessageRefused:
            self._dropped.inc(len(self._batch))
