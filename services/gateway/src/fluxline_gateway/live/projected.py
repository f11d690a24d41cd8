"""How far the history is: what the hub does not remember any more has to be stored before a page is told the past."""

import asyncio

import nats.errors
import nats.js.errors

from fluxline.contracts.catalog import GATEWAY
from fluxline.runtime.bus import Bus
from fluxline.runtime.errors import BrokerUnavailable
from fluxline.runtime.logs import get_logger

WITHIN_S = 10.0
"""How long a page waits for a history that is far behind."""
ASK_S = 0.1
OUTAGE = (BrokerUnavailable, nats.errors.Error, nats.js.errors.Error, TimeoutError, OSError)
"""What asking NATS may end with while it is away."""

log = get_logger(__name__)


class Projected:
    """Up to which sequence the projection, of whichever replica, has stored everything."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.known = 0
        """As of the last question; questions are asked only when it matters."""
        self._asking = asyncio.Lock()

    async def reaches(self, floor: int, within_s: float = WITHIN_S) -> bool:
        """Whether all up to the sequence `floor` is stored, which it is unless the history is thousands behind.

        False when it comes nearer but needs longer, or when NATS is away: the page shall come back. A history that
        does not move at all is taken as it is, for what holds it up may never come.
        """
        if self.known >= floor:
            return True
        began = asyncio.get_running_loop().time()
        first = await self._ask(floor)
        while self.known < floor and asyncio.get_running_loop().time() - began < within_s:
            if first is None:
                return False
            await asyncio.sleep(ASK_S)
            await self._ask(floor)
        if self.known < floor and within_s:
            log.warning("live.history_behind", events=floor - self.known)
        return self.known >= floor or self.known == first

    async def _ask(self, floor: int) -> int | None:
        """What is known now, None when it cannot be asked; one question for all who wait."""
        async with self._asking:
            if self.known < floor:
                try:
                    info = await self.bus.jetstream.consumer_info(GATEWAY.stream.name, GATEWAY.durable)
                except OUTAGE:
                    return None
                is_done = not info.num_pending and not info.num_ack_pending
                acknowledged = info.ack_floor.stream_seq if info.ack_floor else 0
                self.known = max(self.known, floor if is_done else acknowledged)
            return self.known
