"""A server that says when it begins to stop, so that what would run for ever (a live stream) ends."""

import socket
from collections.abc import Callable

import uvicorn


class DrainingServer(uvicorn.Server):
    """uvicorn's server, which waits for open requests before it tells the application; `drain` is called before."""

    def __init__(self, config: uvicorn.Config, drain: Callable[[], None]) -> None:
        super().__init__(config)
        self._drain = drain

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more connections, and let open requests come to their end."""
        self._drain()
        await super().shutdown(sockets)
