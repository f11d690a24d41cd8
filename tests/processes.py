"""A real server as a child process, or in a container: started on free ports, waited for, stopped for sure."""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from containers import ContainerChild

START_TIMEOUT_S = 60.0
START_ATTEMPTS = 3
STOP_TIMEOUT_S = 10.0
_GUARD = 'read -r _; kill -9 "$1"'
"""A shell that waits for the end of the test process, however it comes, and then ends the server."""


class Process:
    """A server whose ports and files outlive the process, so that it can be killed and restarted.

    `ready` answers whether this process id serves requests; `user` is whom it runs as (None: as we do). With an `image`
    the command runs in a container of it, with the log's folder as its only files.
    """

    def __init__(
        self,
        command: list[str],
        log: Path,
        ready: Callable[[int], bool],
        *,
        user: str | None = None,
        stop_signal: signal.Signals = signal.SIGINT,
        image: str | None = None,
    ) -> None:
        self._command, self._log, self._ready, self._user = command, log, ready, user
        self._stop_signal = stop_signal
        self._image = image
        self._child: subprocess.Popen[bytes] | ContainerChild | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        if self._child is None:
            raise RuntimeError(f"{self._command[0]} is not running")
        return self._child.pid

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start and wait until ready; an early exit (a port was taken meanwhile) is tried again."""
        for attempt in range(1, START_ATTEMPTS + 1):
            self._spawn()
            if self._wait_ready():
                return
            self.kill()
            if attempt < START_ATTEMPTS:
                time.sleep(0.2 * attempt)
        tail = self._log.read_text(errors="replace")[-4000:] if self._log.exists() else ""
        raise RuntimeError(f"{self._command[0]} did not start; the end of its log:\n{tail}")

    def kill(self) -> None:
        """End it as a crash would (SIGKILL); returns when it is gone."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Ask it to end, and insist after a few seconds."""
        self._end(self._stop_signal)

    def restart(self) -> None:
        """The same server on the same ports and files, as a new process; ready on return."""
        self.stop()
        self.start()

    def _spawn(self) -> None:
        if self._image is not None:
            from containers import ContainerChild

            child = ContainerChild(self._image, self._command, self._log.parent, self._log, self._user)
            self._child, self._guard = child, child.guard()
            return
        with self._log.open("ab") as log:
            self._child = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._log.parent,
                user=self._user,
                start_new_session=True,
            )
        self._guard = subprocess.Popen(
            ["sh", "-c", _GUARD, "guard", str(self.pid)], stdin=subprocess.PIPE, start_new_session=True
        )

    def _wait_ready(self) -> bool:
        deadline = time.monotonic() + START_TIMEOUT_S
        while self._child is not None and self._child.poll() is None and time.monotonic() < deadline:
            if self._ready(self._child.pid):
                return True
            time.sleep(0.02)
        return False

    def _end(self, how: signal.Signals) -> None:
        child, self._child = self._child, None
        guard, self._guard = self._guard, None
        if guard is not None:  # first, or it could kill a later process that got the same number
            guard.kill()
            guard.communicate()
        if child is None:
            return
        child.send_signal(how)
        try:
            child.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait(STOP_TIMEOUT_S)


def free_ports(count: int) -> list[int]:
    """Distinct TCP ports of 127.0.0.1 that nobody listens on now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


@contextlib.contextmanager
def temporary_home(name: str, owner: str | None = None) -> Iterator[Path]:
    """A folder of a server, given to its `owner`, removed with everything in it at the end."""
    home = Path(tempfile.mkdtemp(prefix=f"fluxline-{name}-"))
    try:
        if owner is not None:
            os.chown(home, pwd.getpwnam(owner).pw_uid, -1)
        yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)


def script(name: str) -> str:
    """The path of an executable that a wheel put beside this Python, like `nats-server`."""
    path = Path(sys.executable).parent / name
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: install the development dependencies (`make setup`)")
    return str(path)
