"""The message queue that a command talks to: NATS_URL, or the one of the stack that runs here."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import nats
import nats.errors
from nats.js import JetStreamContext

from fluxline.runtime.dead_letters import DeadLetters
from fluxline.runtime.nats_tls import client_tls_of_environment
from fluxline.runtime.settings import value_of
from fluxline_cli.errors import QueueUnreachable
from fluxline_cli.stack.layout import Layout, default_home
from fluxline_cli.stack.state import read_state

CONNECT_TIMEOUT_S = 5


@asynccontextmanager
async def dead_letters() -> AsyncIterator[DeadLetters]:
    """The dead letters of that queue; raises StackError or QueueUnreachable with what to set or to start."""
    url = value_of("NATS_URL") or read_state(Layout(default_home())).nats_url
    async with jetstream(url, timeout_s=10) as streams:
        yield DeadLetters(streams)


@asynccontextmanager
async def jetstream(url: str, *, timeout_s: float) -> AsyncIterator[JetStreamContext]:
    """The JetStream of these servers, whose answers are waited for so long; raises QueueUnreachable."""
    servers = [each.strip() for each in url.split(",")]
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):  # nats-py itself tries each server for two minutes
            client = await nats.connect(
                servers, allow_reconnect=False, error_cb=_nothing, tls=client_tls_of_environment()
            )
    except (nats.errors.Error, OSError, TimeoutError) as error:
        raise QueueUnreachable(servers) from error
    try:
        yield client.jetstream(timeout=timeout_s)
    finally:
        await client.close()


async def _nothing(_error: Exception) -> None:
    """What goes wrong is raised to who called; nats-py would log it as well."""
