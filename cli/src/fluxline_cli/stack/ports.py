"""Which TCP ports of 127.0.0.1 the stack listens on."""

import random
import socket
from dataclasses import dataclass

from fluxline_cli.stack.errors import StackError

HOST = "127.0.0.1"
FIXED = {"gateway": 8000, "collector": 8010, "studio": 8080, "sandbox": 8090}
"""What a person or a frontend talks to."""
_FREE_RANGE = range(18_000, 32_768)
"""Below the ports that systems hand out to outgoing connections, so that nobody takes one between two starts."""


@dataclass(frozen=True)
class Ports:
    """The port of each program, and of the NATS monitor."""

    by_name: dict[str, int]

    def __getitem__(self, name: str) -> int:
        return self.by_name[name]

    def url(self, name: str, scheme: str = "http") -> str:
        """The address of a program, without a slash at the end."""
        return f"{scheme}://{HOST}:{self.by_name[name]}"


def choose(names: list[str], *, auto: bool) -> Ports:
    """A port for each name; with `auto` all are free ones. Raises StackError when a fixed one is taken."""
    chosen: dict[str, int] = {}
    for name in names:
        fixed = None if auto else FIXED.get(name)
        if fixed is not None and not is_free(fixed):
            raise StackError(
                f"port {fixed} of {HOST}, which the {name} needs, is taken by another program",
                remedy="end that program, or start with `--ports auto` to use free ports",
            )
        chosen[name] = fixed if fixed is not None else _free_port(set(chosen.values()))
    return Ports(chosen)


def is_free(port: int) -> bool:
    """Whether we could listen on the port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _free_port(taken: set[int]) -> int:
    candidates = random.SystemRandom().sample(_FREE_RANGE, 200)
    for port in candidates:
        if port not in taken and is_free(port):
            return port
    raise StackError("no free TCP port was found", remedy="end programs that listen on many ports")
