"""Keeping programs running, on real processes."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import psutil
import pytest

from fluxline_cli.stack.errors import ProgramFailed
from fluxline_cli.stack.processes import launched, run_to_end
from fluxline_cli.stack.program import Program
from fluxline_cli.stack.supervisor import Supervisor
from polling import poll_until

SLEEP = "import time\nwhile True: time.sleep(60)"


async def at_once(_http: httpx.AsyncClient, _pid: int) -> bool:
    return True


async def never(_http: httpx.AsyncClient, _pid: int) -> bool:
    return False


def program(code: str, ready: object = at_once) -> Program:
    return Program("sleeper", (sys.executable, "-S", "-c", code), dict(os.environ), ready, None)  # type: ignore[arg-type]


@pytest.fixture
async def supervisor(tmp_path: Path) -> AsyncIterator[Supervisor]:
    supervisor = Supervisor(lambda name: tmp_path / f"{name}.log", lambda: None)
    yield supervisor
    await supervisor.stop([])


def alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


async def test_a_killed_program_is_started_anew(supervisor: Supervisor) -> None:
    await supervisor.start_and_wait(program(SLEEP))
    supervised = supervisor.programs["sleeper"]
    assert supervised.child
    first = supervised.child.pid
    os.kill(first, signal.SIGKILL)
    await poll_until(lambda: supervised.child and supervised.child.pid != first)
    assert supervised.restarts == 1


async def test_what_a_dead_program_started_does_not_outlive_it(supervisor: Supervisor, tmp_path: Path) -> None:
    note = tmp_path / "pid"
    code = f"import os, time\nif os.fork(): open({str(note)!r}, 'w').write(str(os.getpid()))\n{SLEEP}"
    await supervisor.start_and_wait(program(code))
    await poll_until(lambda: note.exists() and note.read_text())
    [grandchild] = psutil.Process(int(note.read_text())).children()
    await supervisor.stop([])
    await poll_until(lambda: not alive(grandchild.pid))


async def test_a_program_that_refuses_its_configuration_is_not_tried_again(supervisor: Supervisor) -> None:
    code = "import sys\nprint('NATS_URL: is not set', file=sys.stderr)\nsys.exit(78)"
    with pytest.raises(ProgramFailed, match="refuses its configuration") as failure:
        await supervisor.start_and_wait(program(code, never))
    assert "NATS_URL: is not set" in failure.value.detail


async def test_a_program_that_was_ready_and_is_killed_for_ever_does_not_end_the_stack(supervisor: Supervisor) -> None:
    await supervisor.start_and_wait(program("raise SystemExit(1)"))
    supervised = supervisor.programs["sleeper"]
    await poll_until(lambda: supervised.restarts >= 1)
    assert supervised.failure is None


async def test_a_one_shot_program_that_fails_says_why(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with pytest.raises(ProgramFailed, match="status 3") as failure:
        await run_to_end(program("print('no such database'); raise SystemExit(3)"), log)
    assert "no such database" in failure.value.detail


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's help is Linux's")
async def test_a_program_ends_with_a_parent_that_is_killed() -> None:
    code = (
        "import subprocess, sys\n"
        "from fluxline_cli.stack.processes import launched\n"
        "child = subprocess.Popen(launched((sys.executable, '-S', '-c', 'import time; time.sleep(60)')))\n"
        "print(child.pid, flush=True)\n"
        "child.wait()"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout
    pid = int(await asyncio.to_thread(parent.stdout.readline))
    await poll_until(lambda: psutil.Process(pid).cmdline()[1:3] == ["-S", "-c"])
    parent.kill()
    parent.communicate()
    await poll_until(lambda: not alive(pid))


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="only root has to become somebody else")
def test_whom_root_becomes_still_reaches_files_below_a_closed_folder(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    (closed / "program").write_text("print('reached')")
    command = launched((sys.executable, "-I", str(closed / "program")), user="nobody")
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False, cwd="/")
    assert done.stdout == "reached\n", done.stderr
