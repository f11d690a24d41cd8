"""The local stack with a link between each service and its servers, and orders taken on a port: `driver HOME PORT`.

An order and its answer are a line of JSON each: `{"do": "link", "service": "trainer", "to": "nats", "state": "cut"}`,
`{"do": "stop", "name": "nats", "crash": true}`, `{"do": "start", "name": "trainer", "env": {...}, "wait": true}`.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from fluxline_cli.signals import stop_on_signals, until
from fluxline_cli.stack.layout import Layout
from fluxline_cli.stack.program import Program, answers
from fluxline_cli.stack.providers import ADDRESSES
from fluxline_cli.stack.stack import Stack
from fluxline_cli.stack.topology import service_program

sys.path.insert(0, str(Path(__file__).parent))
from links import HOST, Link  # this file is run as a script

LINKED = ("nats", "postgres")
"""Servers that every service reaches over a link of its own; they all share the one to the sandbox."""
Json = dict[str, Any]


class LinkedStack(Stack):
    """The stack as `fluxline up --ports auto --sandbox` starts it, but for the links."""

    def __init__(self, home: Path) -> None:
        in_bucket = "CLOUDFLARE_R2_BUCKET" in os.environ
        super().__init__(Layout(home), auto_ports=True, sandbox=None if in_bucket else True)
        self._links: dict[tuple[str, str], Link] = {}
        self._sandbox_link = Link()
        self._originals: dict[str, Program] = {}

    async def link_sandbox(self) -> None:
        """Before the start: the sandbox has to name its link's address in the answers that it gives."""
        self._sandbox_port = await self._sandbox_link.listen(int(os.environ.get("FAULTS_SANDBOX_PORT", "0")))
        os.environ["SANDBOX_PUBLIC_URL"] = f"http://{HOST}:{self._sandbox_port}"
        self._links[("*", "sandbox")] = self._sandbox_link

    async def _start_services(self, names: tuple[str, ...]) -> None:
        self._sandbox_link.upstream_port = self._environments.ports["sandbox"]
        programs = [service_program(name, self._environments) for name in names]
        linked = [replace(program, env=await self._linked(program.name, program.env)) for program in programs]
        await asyncio.gather(*(self.supervisor.start_and_wait(program) for program in linked))

    async def _linked(self, service: str, env: Mapping[str, str]) -> dict[str, str]:
        """The environment with the links' addresses in place of the servers'."""
        ports = self._environments.ports
        moved = {ports["sandbox"]: self._sandbox_port}
        for server in LINKED:
            link = self._links[(service, server)] = Link(ports[server])
            moved[ports[server]] = await link.listen()
        changed = dict(env)
        for variable in ("NATS_URL", "DATABASE_URL", *ADDRESSES.values()):
            for old, new in moved.items():
                if variable in changed:
                    changed[variable] = changed[variable].replace(f"{HOST}:{old}", f"{HOST}:{new}")
        return changed

    async def obey(self, order: Json) -> None:
        """Carry out one order; returns when it is done."""
        how = dict(order)
        match how.pop("do"):
            case "link":
                self._link(**how)
            case "stop":
                await self._stop(**how)
            case "start":
                await self._start(**how)
            case "provision":
                await self._run("provisioning", "fluxline.runtime.provision", self._environments.provisioning())
            case "replicate":
                await self._replicate(**how)
            case unknown:
                raise ValueError(f"unknown order {unknown!r}")

    def _link(self, to: str, service: str = "*", **how: Any) -> None:
        for (name, server), link in self._links.items():
            if server == to and (service in (name, "*") or name == "*"):
                link.change(**how)

    async def _stop(self, name: str, *, crash: bool = False) -> None:
        supervised = self.supervisor.programs[name]
        self._originals.setdefault(name, supervised.program)
        if crash:
            supervised.program = replace(supervised.program, stop_signal=signal.SIGKILL)
        await supervised.stop()

    async def _start(self, name: str, env: Mapping[str, str] | None = None, *, wait: bool = True) -> None:
        original = self._originals[name]
        supervised = self.supervisor.start(replace(original, env={**original.env, **(env or {})}))
        supervised.is_ready = True  # it was once: ending early now is no reason to give up on the stack
        if wait:
            await supervised.wait_ready(self.supervisor.http)

    async def _replicate(self, name: str, replica: str, port: int) -> None:
        """A second process of a service, over the links of the first, with a health port of its own."""
        original = self._originals.get(name) or self.supervisor.programs[name].program
        url = f"http://{HOST}:{port}/readyz"
        env = {**original.env, f"{name.upper()}_HTTP_PORT": str(port)}
        await self.supervisor.start_and_wait(
            replace(original, name=replica, env=env, ready=answers(url), health_url=url)
        )


async def serve(home: Path, port: int) -> None:
    """Start, obey until a signal comes, stop."""
    stop = stop_on_signals()
    async with LinkedStack(home) as stack:
        await stack.link_sandbox()

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await stack.obey(json.loads(await reader.readline()))
                said: Json = {"done": True}
            except Exception as error:
                said = {"error": f"{type(error).__name__}: {error}"}
            writer.write(json.dumps(said).encode() + b"\n")
            await writer.drain()
            writer.close()

        async with await asyncio.start_server(answer, HOST, port):
            if await until(stop, stack.start()):
                await until(stop, stack.supervisor.watch())


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), int(sys.argv[2])))
