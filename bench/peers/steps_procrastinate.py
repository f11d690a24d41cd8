"""Four no-op steps by Procrastinate.  python steps_procrastinate.py install | step N | send   (DATABASE_URL)"""

import asyncio
import os
import sys

import procrastinate

BODY = "x" * 1000
app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=os.environ["DATABASE_URL"]))


async def handle(number: int, job: str, body: str) -> None:
    """One step: defer the next one, or tell that the job has ended."""
    if number < 4:
        await app.configure_task(f"step_{number + 1}", queue=f"queue_{number + 1}").defer_async(job=job, body=body)
    else:
        print(job, flush=True)


def step_of(number: int) -> None:
    """Register a step's task."""

    @app.task(name=f"step_{number}", queue=f"queue_{number}")
    async def task(job: str, body: str) -> None:
        await handle(number, job, body)


async def step(number: int) -> None:
    """Run the tasks of one queue."""
    step_of(number)
    async with app.open_async():
        print("ready", flush=True)
        await app.run_worker_async(queues=[f"queue_{number}"], concurrency=64, delete_jobs="always")


async def send() -> None:
    """Defer a first task for each id on standard input."""
    async with app.open_async():
        print("ready", flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            await app.configure_task("step_1", queue="queue_1").defer_async(job=line.strip(), body=BODY)


async def install() -> None:
    """Make its tables."""
    async with app.open_async():
        await app.schema_manager.apply_schema_async()


match sys.argv[1]:
    case "install":
        asyncio.run(install())
    case "send":
        asyncio.run(send())
    case _:
        asyncio.run(step(int(sys.argv[2])))
