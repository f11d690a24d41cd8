"""Which programs make up the stack, each with its command, environment and health address."""

from fluxline_cli.stack.credentials import ROLES
from fluxline_cli.stack.environment import Environments
from fluxline_cli.stack.ports import Ports
from fluxline_cli.stack.program import Program, answers, python_module

SERVICES = ("gateway", "zipper", "trainer", "publisher", "generator", "collector", "studio")
PORT_NAMES = ["nats", "nats_monitor", "postgres", "sandbox", *SERVICES]
STATELESS = tuple(name for name in SERVICES if name not in ROLES)
STATEFUL = tuple(name for name in SERVICES if name in ROLES)
STOP_WAVES = (set(SERVICES), {"sandbox"})
"""Who is stopped first; the servers that they need go last."""


def service_program(name: str, environments: Environments) -> Program:
    """A service of fluxline."""
    return _serving(name, f"fluxline_{name}", environments.service(name), environments.ports, "/readyz")


def sandbox_program(environments: Environments) -> Program:
    """The providers' stand-ins."""
    return _serving("sandbox", "fluxline_sandbox", environments.sandbox(), environments.ports, "/healthz")


def one_shot(name: str, module: str, env: dict[str, str], *arguments: str) -> Program:
    """A program that does one thing and ends."""
    return Program(name, python_module(module, *arguments), env, answers(""), None)


def _serving(name: str, package: str, env: dict[str, str], ports: Ports, health: str) -> Program:
    url = ports.url(name) + health
    return Program(name, python_module(package), env, answers(url), url)


def program_names(*, sandbox: bool) -> list[str]:
    """Every program that is kept running, in the order of the start."""
    return ["nats", "postgres", *(["sandbox"] if sandbox else []), *SERVICES]
