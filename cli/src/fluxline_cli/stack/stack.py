"""The whole local stack: what is started after what, and what is written down about it."""

import asyncio
import os
from types import TracebackType
from typing import Self

from fluxline.contracts.permissions import OPERATOR
from fluxline_cli.stack import ports as port_choice
from fluxline_cli.stack import providers as provider_choice
from fluxline_cli.stack.api_keys import EVERYTHING, create_key, may_do_everything
from fluxline_cli.stack.credentials import SUPERUSER, Credentials
from fluxline_cli.stack.database import is_prepared, mark_prepared
from fluxline_cli.stack.environment import Environments
from fluxline_cli.stack.errors import StackError
from fluxline_cli.stack.layout import Layout
from fluxline_cli.stack.nats import nats_program
from fluxline_cli.stack.ports import Ports
from fluxline_cli.stack.postgres import initialise, postgres_program
from fluxline_cli.stack.processes import run_to_end
from fluxline_cli.stack.state import HomeLock, ProgramState, StackState
from fluxline_cli.stack.supervisor import Supervisor
from fluxline_cli.stack.topology import (
    PORT_NAMES,
    STATEFUL,
    STATELESS,
    STOP_WAVES,
    one_shot,
    sandbox_program,
    service_program,
)

OWNER = "local"


class Stack:
    """A stack on one home, of which there is one at a time. Leaving the block stops every process."""

    def __init__(
        self,
        layout: Layout,
        *,
        auto_ports: bool = False,
        sandbox: bool | None = None,
    ) -> None:
        self.layout = layout
        self.providers = provider_choice.choose(os.environ, sandbox=sandbox)
        self.state: StackState | None = None
        self.supervisor = Supervisor(layout.log, self._changed)
        self._auto_ports = auto_ports

    async def __aenter__(self) -> Self:
        self.layout.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = HomeLock(self.layout)
        self._lock.__enter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.state = None
        await self.supervisor.stop(STOP_WAVES)
        self._lock.__exit__(kind, error, trace)

    async def start(self) -> StackState:
        """Start everything and return once all of it is ready; raises StackError."""
        self.layout.create()
        ports = port_choice.choose(PORT_NAMES, auto=self._auto_ports)
        credentials = Credentials.of(self.layout.credentials_file)
        self._environments = Environments(os.environ, self.layout, ports, credentials, self.providers)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._start_nats())
                group.create_task(self._start_postgres())
                group.create_task(self._start_services(STATELESS))
                if self.providers.needs_sandbox:
                    group.create_task(self.supervisor.start_and_wait(sandbox_program(self._environments)))
        except* StackError as failures:
            raise failures.exceptions[0] from None
        await self._ensure_api_key()
        self.state = self._describe()
        self._changed()
        return self.state

    async def start_servers(self) -> Ports:
        """Start PostgreSQL and NATS alone, for work on what they keep; returns their ports. Raises StackError."""
        self.layout.create()
        ports = port_choice.choose(PORT_NAMES, auto=self._auto_ports)
        credentials = Credentials.of(self.layout.credentials_file)
        self._environments = Environments(os.environ, self.layout, ports, credentials, self.providers)
        self.operator_url = credentials.nats_url(OPERATOR, ports["nats"])
        plain = self._environments.plain()
        await asyncio.to_thread(initialise, self.layout, credentials)
        await asyncio.gather(
            self.supervisor.start_and_wait(postgres_program(self.layout, ports, plain)),
            self.supervisor.start_and_wait(nats_program(self.layout, ports, credentials, plain)),
        )
        return ports

    async def _start_nats(self) -> None:
        environments = self._environments
        nats = nats_program(self.layout, environments.ports, environments.credentials, environments.plain())
        await self.supervisor.start_and_wait(nats)
        await self._run("provisioning", "fluxline.runtime.provision", environments.provisioning())

    async def _start_postgres(self) -> None:
        environments = self._environments
        await asyncio.to_thread(initialise, self.layout, environments.credentials)
        postgres = postgres_program(self.layout, environments.ports, environments.plain())
        prepared = is_prepared(self.layout, environments.credentials)
        started = asyncio.create_task(self.supervisor.start_and_wait(postgres))
        if not prepared:
            await self._run("preparation", "fluxline_cli.stack.prepare", environments.preparation())
            mark_prepared(self.layout, environments.credentials)
        await asyncio.gather(started, self._start_services(STATEFUL))

    async def _start_services(self, names: tuple[str, ...]) -> None:
        programs = [service_program(name, self._environments) for name in names]
        await asyncio.gather(*(self.supervisor.start_and_wait(program) for program in programs))

    async def _run(self, name: str, module: str, env: dict[str, str]) -> None:
        await run_to_end(one_shot(name, module, env), self.layout.log(name))

    async def _ensure_api_key(self) -> None:
        """The key of this home; a new one if the database does not know it, as after its files were removed."""
        environments = self._environments
        key = environments.credentials.api_key
        if key and await may_do_everything(self.supervisor.http, environments.ports.url("gateway"), key):
            return
        created = await create_key(environments.service("gateway"), OWNER, name="local stack", scopes=EVERYTHING)
        credentials = environments.credentials.with_api_key(created["key"])
        credentials.save(self.layout.credentials_file)
        self._environments = Environments(
            os.environ, self.layout, environments.ports, credentials, environments.providers
        )

    def _describe(self) -> StackState:
        ports, credentials = self._environments.ports, self._environments.credentials
        return StackState(
            home=str(self.layout.home),
            gateway_url=ports.url("gateway"),
            studio_url=ports.url("studio"),
            collector_url=ports.url("collector"),
            sandbox_url=ports.url("sandbox") if self.providers.needs_sandbox else None,
            nats_url=credentials.nats_url(OPERATOR, ports["nats"]),
            postgres_url=credentials.database_url(SUPERUSER, ports["postgres"]),
            api_key=credentials.api_key or "",
            collector_token=credentials.collector_token,
            services={
                name: ProgramState(pid=supervised.child.pid, health_url=supervised.program.health_url)
                for name, supervised in self.supervisor.programs.items()
                if supervised.child is not None
            },
        )

    def _changed(self) -> None:
        if self.state is not None:
            self.state = self._describe()
            self.state.write(self.layout.state_file)
