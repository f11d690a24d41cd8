"""What counts as an outage of the database, and what only looks like one."""

import errno
import socket

import asyncpg
import pytest

from fluxline.postgres.pool import DatabaseUnavailable, database_error


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(errno.ECONNREFUSED, "refused"),
        ConnectionResetError(),
        socket.gaierror(-2, "Name or service not known"),
        OSError("Multiple exceptions: [Errno 111] ..., [Errno 111] ..."),
        OSError(errno.EHOSTUNREACH, "No route to host"),
        TimeoutError(),
        asyncpg.AdminShutdownError(),
        asyncpg.InterfaceError("connection is closed"),
        asyncpg.TooManyConnectionsError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_passes_by_itself_is_waited_out(error: Exception) -> None:
    found = database_error(error)
    assert isinstance(found, DatabaseUnavailable)
    assert found.outage


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        FileNotFoundError(errno.ENOENT, "gone"),
        PermissionError(errno.EACCES, "denied"),
        OSError(errno.EROFS, "read-only"),
        asyncpg.DataError("a value that does not fit"),
        asyncpg.UniqueViolationError(),
        ValueError("x"),
        RuntimeError("a bug"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_full_disk_or_a_bug_is_no_outage(error: Exception) -> None:
    assert database_error(error) is None
