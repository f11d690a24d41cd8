"""How late the event loop comes to what is due: whoever blocks it shows here first."""

import asyncio
from typing import Final

from prometheus_client import Histogram

EVERY_S: Final = 0.5


async def measure_loop_lag(lag: Histogram, every_s: float = EVERY_S) -> None:
    """Observe it for ever."""
    clock = asyncio.get_running_loop().time
    while True:
        due = clock() + every_s
        await asyncio.sleep(every_s)
        lag.observe(max(0.0, clock() - due))
