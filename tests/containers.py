"""A test server in a container: the program of a public image, with the files, ports and process ids of this machine.

`FLUXLINE_TEST_SERVERS=containers` asks for it (`make test-containers`). The container shares the network and the
process ids of the host, and has the server's home at the same path: so the same configuration files, commands and
signals serve a wheel's program and an image's. That takes an engine on Linux, and the right to signal its processes.
"""

import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from signal import Signals
from typing import Any

from docker.errors import DockerException, NotFound
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer

COMPOSE_FILE = Path(__file__).parents[1] / "docker-compose.yml"
POLL_S = 0.05
GUARD = """
import sys, docker
sys.stdin.read()
docker.from_env().containers.get(sys.argv[1]).remove(force=True)
"""
"""Waits for the end of the test process, however it comes, and then removes the container."""

testcontainers_config.ryuk_disabled = True  # its image would have to be fetched; the guard does the same for one


def image_of(service: str) -> str:
    """The image that docker-compose.yml names for a service: one place says which version is tested."""
    found = re.search(rf"^  {service}:\n(?:    .*\n)*?    image: (\S+)$", COMPOSE_FILE.read_text(), re.MULTILINE)
    if found is None:
        raise LookupError(f"{COMPOSE_FILE} names no image for {service}")
    return found[1]


class ContainerChild:
    """A program in a container, with what tests need of `subprocess.Popen`; its output goes to `log` when it ends."""

    def __init__(self, image: str, command: Sequence[str], home: Path, log: Path, user: str | None) -> None:
        self._log = log
        self._container = _described(image, command, home, user)
        try:
            self._container.start()
        except DockerException as error:
            raise RuntimeError(f"test servers in containers need Docker, and {image} at hand: {error}") from error
        self._inner = self._container.get_wrapped_container()
        self._status: int | None = None
        self._gone = False

    @property
    def id(self) -> str:
        """The container's id."""
        return str(self._inner.id)

    @property
    def pid(self) -> int:
        """The process id of its program, as this machine counts."""
        self._inner.reload()
        return int(self._inner.attrs["State"]["Pid"])

    def poll(self) -> int | None:
        """The exit status once it has ended; None before."""
        if self._status is None:
            try:
                self._inner.reload()
            except NotFound:
                self._status = -9
                return self._status
            if not self._inner.attrs["State"]["Running"]:
                self._status = int(self._inner.attrs["State"]["ExitCode"])
        return self._status

    def send_signal(self, how: Signals) -> None:
        """Send it a signal."""
        if self.poll() is None:
            self._inner.kill(signal=how.value)

    def kill(self) -> None:
        """End it as a crash would."""
        self.send_signal(Signals.SIGKILL)

    def wait(self, timeout_s: float) -> int:
        """The exit status, and the container is gone; raises subprocess.TimeoutExpired."""
        deadline = time.monotonic() + timeout_s
        while (status := self.poll()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(self.id, timeout_s)
            time.sleep(POLL_S)
        self._remove()
        return status

    def guard(self) -> "subprocess.Popen[bytes]":
        """A process that removes the container when this one ends."""
        return subprocess.Popen([sys.executable, "-c", GUARD, self.id], stdin=subprocess.PIPE, start_new_session=True)

    def _remove(self) -> None:
        if self._gone:
            return
        self._gone = True
        try:
            with self._log.open("ab") as log:
                log.write(self._inner.logs())
            self._container.stop()
        except NotFound:
            pass


def run_to_end(
    image: str, command: Sequence[str], home: Path, *, user: str | None, timeout_s: float
) -> tuple[int, str]:
    """Run a program that does one thing in a container; its exit status and what it printed."""
    log = home / "one-shot.log"
    child = ContainerChild(image, command, home, log, user)
    try:
        return child.wait(timeout_s), log.read_text(errors="replace")
    finally:
        child.kill()


def _described(image: str, command: Sequence[str], home: Path, user: str | None) -> DockerContainer:
    """Entered by the program itself, not by the image's script; as the same user, whose name the image may not know.

    The shipped configuration of NATS reads its passwords from the environment.
    """
    options: dict[str, Any] = {
        "entrypoint": [command[0]],
        "network_mode": "host",
        "pid_mode": "host",
        "user": f"{home.stat().st_uid}:{home.stat().st_gid}" if user else f"{os.geteuid()}:{os.getegid()}",
        "working_dir": str(home),
    }
    passed_on = {name: value for name, value in os.environ.items() if name.startswith("NATS_PASSWORD_")}
    container = DockerContainer(image).with_command(list(command[1:])).with_kwargs(**options).with_envs(**passed_on)
    container.with_volume_mapping(str(home), str(home), "rw")
    return container.with_volume_mapping("/etc/passwd", "/etc/passwd", "ro")
