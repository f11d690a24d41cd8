"""A TCP relay between a client and a server of 127.0.0.1 that can be cut, silenced and slowed down while it runs."""

import asyncio
from contextlib import suppress
from typing import Literal

HOST = "127.0.0.1"
CHUNK_BYTES = 64 * 1024
State = Literal["open", "cut", "silent"]


class Link:
    """`open` forwards; `cut` aborts every connection and refuses new ones; `silent` holds what arrives back.

    A silent link loses nothing, as TCP does not: what it held goes on once it is open again. `delay_s` is added to
    every chunk, in both directions.
    """

    def __init__(self, upstream_port: int = 0) -> None:
        self.upstream_port = upstream_port
        self._state: State = "open"
        self._delay_s = 0.0
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._open: set[asyncio.StreamWriter] = set()

    async def listen(self, port: int = 0) -> int:
        """Serve until the process ends, on that port or (0) a free one; returns it."""
        self._server = await asyncio.start_server(self._serve, HOST, port)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def change(self, state: State, delay_s: float = 0.0) -> None:
        """Behave so from now on, with the connections that exist as well."""
        self._state, self._delay_s = state, delay_s
        if state == "silent":
            self._flowing.clear()
            return
        self._flowing.set()
        if state == "cut":
            for writer in self._open:
                writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._flowing.wait()
        try:
            if self._state == "cut":
                raise ConnectionRefusedError
            upstream = await asyncio.open_connection(HOST, self.upstream_port)
        except OSError:
            writer.transport.abort()
            return
        ends = {writer, upstream[1]}
        self._open |= ends
        try:
            with suppress(OSError):  # a connection that breaks on one side is broken on the other
                await asyncio.gather(self._pump(reader, upstream[1]), self._pump(upstream[0], writer))
        finally:
            self._open -= ends
            for end in ends:
                end.transport.abort()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while chunk := await source.read(CHUNK_BYTES):
            if self._delay_s:
                await asyncio.sleep(self._delay_s)
            await self._flowing.wait()
            sink.write(chunk)
            await sink.drain()
        sink.write_eof()
