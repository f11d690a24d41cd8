"""Work that is done again and again for the life of the process, whatever is away meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable

import asyncpg
import nats.errors
import nats.js.errors

from fluxline.contracts.errors import FluxlineError
from fluxline.postgres.pool import database_error
from fluxline.runtime.cancelation import raise_if_canceled
from fluxline.runtime.logs import get_logger

_FAILURES = (
    FluxlineError,
    OSError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    nats.errors.Error,
    nats.js.errors.Error,
)

log = get_logger(__name__)


async def periodically(name: str, work: Callable[[], Awaitable[object]], every_s: float, retry_s: float) -> None:
    """Do `work` every `every_s` seconds, after a failure in `retry_s`; for ever."""
    while True:
        raise_if_canceled()
        wait_s = every_s
        try:
            await work()
        except _FAILURES as error:
            passes = isinstance(error, FluxlineError | OSError | nats.errors.Error) or database_error(error) is not None
            log.warning("periodic.failed", work=name, error=type(error).__name__, exc_info=not passes)
            wait_s = retry_s
        await asyncio.sleep(wait_s)
