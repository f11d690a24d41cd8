"""Work beside the requests, again and again: what they leave behind is stored by it, never on their time."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from fluxline.postgres.pool import database_error
from fluxline.runtime.logs import get_logger

LAST_WRITE_S: Final = 5.0
Work = Callable[[], Awaitable[None]]

log = get_logger(__name__)


async def now_and_then(name: str, work: Work, every_s: float) -> None:
    """Call `work` now and then for ever; outages of the database are waited out."""
    while True:
        await asyncio.sleep(every_s)
        try:
            await work()
        except Exception as error:
            if database_error(error) is None:
                raise
            log.warning(f"{name}.waiting", reason=type(error).__name__)


async def write_last(name: str, flush: Work) -> None:
    """Call `flush` once more before the process ends, which a database that does not answer cannot hold up."""
    try:
        async with asyncio.timeout(LAST_WRITE_S):
            await flush()
    except Exception as error:
        if database_error(error) is None:
            raise
        log.warning(f"{name}.lost", reason=type(error).__name__)
