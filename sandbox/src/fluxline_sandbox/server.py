"""Running the sandbox: as a process, or in a thread for a test."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from fluxline_sandbox.app import create_app
from fluxline_sandbox.settings import Settings

_START_SECONDS = 15.0


def _bind(settings: Settings) -> tuple[socket.socket, Settings]:
    """Take the port first, so that port 0 has a number before any address is made from it."""
    listener = socket.create_server((settings.host, settings.port), backlog=1024)
    return listener, settings.model_copy(update={"port": listener.getsockname()[1]})


def _server(settings: Settings) -> uvicorn.Server:
    config = uvicorn.Config(
        create_app(settings), log_level="warning", access_log=False, timeout_graceful_shutdown=2, ws="none"
    )
    return uvicorn.Server(config)


def serve(settings: Settings) -> None:
    """Serve until a signal ends the process."""
    listener, settings = _bind(settings)
    print(f"sandbox: {settings.base_url}", flush=True)
    _server(settings).run(sockets=[listener])


@contextmanager
def running(settings: Settings) -> Iterator[str]:
    """Serve in a thread while the block runs, and yield the base URL; raises TimeoutError if it does not start."""
    listener, settings = _bind(settings)
    server = _server(settings)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        _wait_until_started(server, thread)
        yield settings.base_url
    finally:
        server.should_exit = True
        thread.join(timeout=_START_SECONDS)
        listener.close()


def _wait_until_started(server: uvicorn.Server, thread: threading.Thread) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not server.started:
        if not thread.is_alive() or time.monotonic() > deadline:
            raise TimeoutError("the sandbox did not start; see its log above")
        time.sleep(0.01)
