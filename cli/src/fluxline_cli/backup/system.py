"""What is backed up or restored: the servers that the environment names, or those of a local stack's home."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field

from nats.js import JetStreamContext
from pydantic import ValidationError

from fluxline.runtime.settings import secrets_dirs, value_of
from fluxline.storage import Storage, StorageSettings, make_storage
from fluxline.storage.local import LocalStorage
from fluxline_cli.backup.database import with_database
from fluxline_cli.backup.errors import BackupError
from fluxline_cli.nats_queue import jetstream
from fluxline_cli.stack.credentials import ROLES, SUPERUSER, Credentials
from fluxline_cli.stack.layout import Layout
from fluxline_cli.stack.prepare import DATABASE
from fluxline_cli.stack.stack import Stack
from fluxline_cli.stack.state import read_state, running_pid

API_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class System:
    """Addresses with their passwords: `superuser_url` is of the database `postgres`; `roles` are the services' own."""

    superuser_url: str = field(repr=False)
    roles: dict[str, str] = field(repr=False)
    nats_url: str = field(repr=False)
    storage: Storage | None

    @property
    def database_url(self) -> str:
        """The services' database, as the superuser."""
        return with_database(self.superuser_url, DATABASE)

    def jetstream(self) -> AbstractAsyncContextManager[JetStreamContext]:
        """The streams; raises QueueUnreachable."""
        return jetstream(self.nats_url, timeout_s=API_TIMEOUT_S)


@asynccontextmanager
async def running(layout: Layout) -> AsyncIterator[System]:
    """The servers of DATABASE_URL and NATS_URL, else of the stack that runs on this home."""
    if value_of("DATABASE_URL"):
        system = _of_environment(with_roles=False)
    else:
        state = read_state(layout)
        system = System(with_database(state.postgres_url, "postgres"), {}, state.nats_url, _storage_of(layout))
    async with _closing(system):
        yield system


@asynccontextmanager
async def at_rest(layout: Layout) -> AsyncIterator[System]:
    """The servers of DATABASE_URL, DATABASE_URL_<ROLE> and NATS_URL, else those of this home, started for the block."""
    if value_of("DATABASE_URL"):
        async with _closing(_of_environment(with_roles=True)) as system:
            yield system
        return
    if running_pid(layout) is not None:
        raise BackupError(f"a stack runs on {layout.home}", hint="end it with Ctrl-C first: a restore needs it at rest")
    async with Stack(layout, auto_ports=True) as stack:
        ports = await stack.start_servers()
        credentials = Credentials.of(layout.credentials_file)
        roles = {role: credentials.database_url(role, ports["postgres"]) for role in ROLES}
        superuser = credentials.database_url(SUPERUSER, ports["postgres"], "postgres")
        async with _closing(System(superuser, roles, stack.operator_url, _storage_of(layout))) as system:
            yield system


@asynccontextmanager
async def any_server(layout: Layout) -> AsyncIterator[System]:
    """Servers to try something out on: running ones, or this home's, started for the block."""
    in_use = value_of("DATABASE_URL") or running_pid(layout) is not None
    async with running(layout) if in_use else at_rest(layout) as system:
        yield system


def _of_environment(*, with_roles: bool) -> System:
    roles = {role: _required(f"DATABASE_URL_{role.upper()}") for role in ROLES} if with_roles else {}
    superuser = with_database(_required("DATABASE_URL"), "postgres")
    return System(superuser, roles, _required("NATS_URL"), _storage_of_environment())


def _required(variable: str) -> str:
    value = value_of(variable)
    if not value:
        raise BackupError(f"{variable} is not set", hint="set it, as for `python -m fluxline_cli.deployment.prepare`")
    return value


def _storage_of_environment() -> Storage | None:
    try:
        return make_storage(StorageSettings(_secrets_dir=secrets_dirs()))
    except ValidationError:
        return None


def _storage_of(layout: Layout) -> Storage:
    """The bucket that the environment names, as for the stack, else the folder of the home."""
    if found := _storage_of_environment():
        return found
    secret = Credentials.of(layout.credentials_file).storage_secret
    return LocalStorage(layout.storage, "http://127.0.0.1", secret.encode())


@asynccontextmanager
async def _closing(system: System) -> AsyncIterator[System]:
    try:
        yield system
    finally:
        if system.storage:
            await system.storage.close()
