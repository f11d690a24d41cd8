"""Writing a little later: what requests leave behind is stored by the background, never on their time."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from fluxline.postgres.pool import database_error
from fluxline.runtime.logs import get_logger

LAST_WRITE_S: Final = 5.0
Flush = Callable[[], Awaitable[None]]

log = get_logger(__name__)


async def write_behind(name: str, flush: Flush, every_s: float) -> None:
    """Call `flush` now and then for ever; outages of the database are waited out."""
    while True:
        await asyncio.sleep(every_s)
        try:
            await flush()
        except Exception as error:
            if database_error(error) is None:
                raise
            log.warning(f"{name}.waiting", reason=type(error).__name__)


async def write_last(name: str, flush: Flush) -> None:
    """Call `flush` once more before the process ends, which a database that does not answer cannot hold up."""
    try:
        async with asyncio.timeout(LAST_WRITE_S):
            await flush()
    except Exception as error:
        if database_error(error) is None:
            raise
        log.warning(f"{name}.lost", reason=type(error).__name__)
