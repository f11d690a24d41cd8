"""Work that is done again and again for the life of the process, whatever is away meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import asyncpg
import nats.errors
import nats.js.errors

from fluxline.contracts.errors import FluxlineError
from fluxline.postgres.pool import CONNECT_TIMEOUT_S, Connection, Database, database_error
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

_LOCK = "SELECT pg_try_advisory_lock(hashtextextended($1, 0))"
_UNLOCK = "SELECT pg_advisory_unlock(hashtextextended($1, 0))"

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


@asynccontextmanager
async def alone(database: Database, name: str) -> AsyncIterator["Connection | None"]:
    """A connection for work that one replica does at a time; None while another one is at it."""
    key = f"fluxline_collector.{name}"
    async with database.pool.acquire(timeout=CONNECT_TIMEOUT_S) as connection:
        if not await connection.fetchval(_LOCK, key):
            yield None
            return
        try:
            yield connection
        finally:
            await connection.execute(_UNLOCK, key)
