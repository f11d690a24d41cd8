"""Becomes another program that ends when its parent does: `launch.py PARENT_PID USER PROGRAM ARGUMENT...`.

Runs as a script with `python -I -S` (standard library only, some 20 ms), so that the process id stays the same.
USER is empty, or whom to become when we are root: PostgreSQL refuses to run as root.
"""

import ctypes
import os
import pwd
import signal
import sys

PR_SET_PDEATHSIG = 1
PR_SET_KEEPCAPS = 8
PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 47, 2
CAP_DAC_OVERRIDE = 1
_LINUX_CAPABILITY_VERSION_3 = 0x20080522
EX_NOPERM = 77


def become(user: str) -> None:
    """Give up root for `user`, but keep reaching files: the stack may live below a folder that only root enters."""
    account = pwd.getpwnam(user)
    _prctl(PR_SET_KEEPCAPS, 1)
    try:
        os.setgroups([])
        os.setgid(account.pw_gid)
        os.setuid(account.pw_uid)
    except OSError as error:
        print(f"root may not become {user!r} here ({error}): start fluxline as an ordinary user", file=sys.stderr)
        raise SystemExit(EX_NOPERM) from None
    _keep_file_access()


def end_with_parent(parent: int) -> None:
    """Have the kernel end this process when its parent dies, however that comes (prctl(2); Linux only)."""
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the call
        raise SystemExit(1)


def _keep_file_access() -> None:
    """CAP_DAC_OVERRIDE as the one capability that survives exec (capabilities(7), ambient set); fails quietly."""
    if sys.platform != "linux":
        return
    mask = 1 << CAP_DAC_OVERRIDE
    header = (ctypes.c_uint32 * 2)(_LINUX_CAPABILITY_VERSION_3, 0)
    sets = (ctypes.c_uint32 * 6)(mask, mask, mask, 0, 0, 0)  # effective, permitted, inheritable; the upper halves
    if ctypes.CDLL(None).capset(header, sets) == 0:
        _prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE)


def _prctl(option: int, *arguments: int) -> None:
    if sys.platform == "linux":
        padded = [*arguments, 0, 0, 0, 0][:4]
        ctypes.CDLL(None).prctl(option, *(ctypes.c_ulong(value) for value in padded))


def main() -> None:
    """Arrange the process as the arguments say, and become the program."""
    parent, user, *command = sys.argv[1:]
    if user:
        become(user)
    end_with_parent(int(parent))
    os.execvp(command[0], command)  # noqa: S606  # the point: no shell, the same process


if __name__ == "__main__":
    main()
