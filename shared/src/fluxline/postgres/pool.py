"""A connection pool that starts before its database does, and database errors as ours."""

import asyncio
import errno
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import ClassVar, TypeAlias

import asyncpg
from prometheus_client import CollectorRegistry

from fluxline.contracts.errors import ErrorCategory, FluxlineError
from fluxline.postgres.connections import Connections, DatabaseConnections
from fluxline.postgres.query_spans import watch
from fluxline.runtime.logs import get_logger

COMMAND_TIMEOUT_S = 30.0
CONNECT_TIMEOUT_S = 5.0
RETRY_S = 0.5
_NETWORK = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN, errno.EADDRNOTAVAIL)

Connection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"

log = get_logger(__name__)


class DatabaseUnavailable(FluxlineError):
    """PostgreSQL is not reachable at the moment."""

    category: ClassVar[ErrorCategory] = ErrorCategory.NETWORK
    outage: ClassVar[bool] = True
    hint = "It is tried again by itself; check that PostgreSQL is up and reachable."


_UNAVAILABLE = (
    OSError,  # see `_is_of_the_network`
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # what a session that dies between two messages may surface as
    TimeoutError,
)


def database_error(error: BaseException) -> FluxlineError | None:
    """`DatabaseUnavailable` for what passes by itself, None for everything else; a `Translator` for handlers."""
    if isinstance(error, ValueError):  # a value that asyncpg refuses is no outage
        return None
    if isinstance(error, OSError) and not _is_of_the_network(error):  # neither is a full disk
        return None
    if isinstance(error, _UNAVAILABLE):
        return DatabaseUnavailable(f"PostgreSQL did not answer ({type(error).__name__})")
    return None


def _is_of_the_network(error: OSError) -> bool:
    """Connecting to several addresses in vain has no errno (asyncio); what a file system says always has."""
    known = isinstance(error, ConnectionError | TimeoutError | socket.gaierror)
    return known or error.errno is None or error.errno in _NETWORK


class Database:
    """A service's own schema. `open` waits until PostgreSQL is there and the schema is migrated."""

    def __init__(self, url: str, schema: str, *, max_size: int = 10) -> None:
        self.url = url
        self.schema = schema
        self._max_size = max_size
        self._pool: Pool | None = None

    @property
    def pool(self) -> Pool:
        """The open pool; raises `DatabaseUnavailable` before it is."""
        if self._pool is None:
            raise DatabaseUnavailable("PostgreSQL is not connected yet")
        return self._pool

    async def open(self) -> None:
        """Connect, for as long as it takes."""
        waiting = False
        while self._pool is None:
            try:
                self._pool = await self._connect()
            except (*_UNAVAILABLE, asyncpg.UndefinedTableError) as error:
                if not waiting:
                    log.warning("postgres.waiting", error=f"{type(error).__name__}: {error}")
                waiting = True
                await asyncio.sleep(RETRY_S)

    async def _connect(self) -> Pool:
        pool = await asyncpg.create_pool(
            self.url,
            min_size=1,
            max_size=self._max_size,
            timeout=CONNECT_TIMEOUT_S,
            command_timeout=COMMAND_TIMEOUT_S,
            init=watch,
            server_settings={"search_path": self.schema, "application_name": f"fluxline-{self.schema}"},
        )
        try:
            await pool.fetchval("SELECT version_num FROM alembic_version")
        except BaseException:
            await pool.close()
            raise
        return pool

    def observe(self, registry: CollectorRegistry) -> None:
        """Show the pool's connections in `registry`."""
        registry.register(DatabaseConnections(self._connections))

    def _connections(self) -> Connections:
        size, idle = (self._pool.get_size(), self._pool.get_idle_size()) if self._pool else (0, 0)
        return Connections(used=size - idle, idle=idle, unopened=self._max_size - size)

    async def close(self) -> None:
        """Close all connections, running work included after ten seconds."""
        if self._pool is not None:
            try:
                async with asyncio.timeout(10):
                    await self._pool.close()
            except TimeoutError:
                self._pool.terminate()

    async def check(self) -> None:
        """Readiness: one round trip."""
        await self.pool.fetchval("SELECT 1")

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """One connection in one transaction; committed on leaving without an error."""
        async with self.pool.acquire(timeout=CONNECT_TIMEOUT_S) as connection, connection.transaction():
            yield connection
