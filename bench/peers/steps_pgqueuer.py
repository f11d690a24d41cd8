"""Four no-op steps by PgQueuer.  python steps_pgqueuer.py install | step N | send   (DATABASE_URL)"""

import asyncio
import os
import sys

import asyncpg
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.models import Job
from pgqueuer.queries import Queries

BODY = b"x" * 1000


async def driver() -> AsyncpgDriver:
    """A connection of its own."""
    return AsyncpgDriver(await asyncpg.connect(os.environ["DATABASE_URL"]))


async def step(number: int) -> None:
    """Run the jobs of one entrypoint; each enqueues the next one's."""
    mine = await driver()
    queuer, queries = PgQueuer(mine), Queries(await driver())
    lock = asyncio.Lock()  # a connection of asyncpg does one thing at a time

    @queuer.entrypoint(f"step_{number}")
    async def handle(job: Job) -> None:
        payload = job.payload or b""
        if number < 4:
            async with lock:
                await queries.enqueue([f"step_{number + 1}"], [payload], [0])
        else:
            print(payload[:36].decode(), flush=True)

    print("ready", flush=True)
    await queuer.run(batch_size=64)


async def send() -> None:
    """Enqueue a first job for each id on standard input."""
    queries = Queries(await driver())
    print("ready", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        await queries.enqueue(["step_1"], [line.strip().encode() + BODY], [0])


async def install() -> None:
    """Make its tables."""
    await Queries(await driver()).install()


match sys.argv[1]:
    case "install":
        asyncio.run(install())
    case "send":
        asyncio.run(send())
    case _:
        asyncio.run(step(int(sys.argv[2])))
