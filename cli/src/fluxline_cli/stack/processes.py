"""One child process: started so that it ends with us, stopped with everything it has started."""

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path

from fluxline_cli.stack import launch
from fluxline_cli.stack.errors import ProgramFailed
from fluxline_cli.stack.program import Program

ONE_SHOT_TIMEOUT_S = 120.0


def launched(command: tuple[str, ...], user: str = "") -> list[str]:
    """The command that runs `command` tied to the life of this process, as `user` (empty: as we are)."""
    return [sys.executable, "-I", "-S", str(Path(launch.__file__)), str(os.getpid()), user, *command]


async def spawn(program: Program, log: Path) -> asyncio.subprocess.Process:
    """Start the program in a session of its own, its output appended to `log`."""
    with log.open("ab") as output:
        return await asyncio.create_subprocess_exec(
            *launched(program.command, program.user),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=asyncio.subprocess.STDOUT,
            env=dict(program.env),
            cwd="/",
            start_new_session=True,
        )


async def run_to_end(program: Program, log: Path) -> None:
    """Run a program that does one thing; raises ProgramFailed unless it ends well within two minutes."""
    child = await spawn(program, log)
    try:
        async with asyncio.timeout(ONE_SHOT_TIMEOUT_S):
            status = await child.wait()
    except TimeoutError:
        raise ProgramFailed(program.name, log, f"did not end within {ONE_SHOT_TIMEOUT_S:.0f} s") from None
    finally:
        await end(child, signal.SIGKILL, patience_s=0)
    if status != 0:
        raise ProgramFailed(program.name, log, f"ended with status {status}")


async def end(child: asyncio.subprocess.Process, how: signal.Signals, *, patience_s: float) -> None:
    """Ask the process to end, and after `patience_s` make it; then everything of its group."""
    if child.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            child.send_signal(how)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                await child.wait()
    kill_group(child.pid)
    await child.wait()


def kill_group(leader: int) -> None:
    """End what is left of a process group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)
