"""What an open live stream costs the gateway: memory that stays, CPU to open it, CPU and time to tell it an event.

    python bench/streams.py [--clients 2000] [--rounds 3] [--against SOURCE] [--json FILE]

A gateway as a process, real NATS and PostgreSQL, and clients that are bare sockets. `--against` is the folder
`services/gateway/src` of another version: both take turns, so that a busy machine slows both.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit
from uuid import UUID

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / folder) for folder in ("tests", "services/gateway")]
import httpx  # noqa: E402  # the folders of the tests are on no path
from tests.jobs import order_of, progressed  # noqa: E402

from fluxline.postgres.migrate import migrate  # noqa: E402
from fluxline.postgres.pool import Database  # noqa: E402
from fluxline.runtime.bus import Bus  # noqa: E402
from fluxline.runtime.provision import provision  # noqa: E402
from fluxline.runtime.telemetry import make_tracer_provider  # noqa: E402
from fluxline_gateway.identity import keys  # noqa: E402
from fluxline_gateway.migrations import SCHEMA  # noqa: E402
from polling import poll_until  # noqa: E402
from processes import free_ports  # noqa: E402
from servers import nats_server, postgres_server  # noqa: E402
from streams import requested  # noqa: E402

OWN = ROOT / "services/gateway/src"
WARM = 20
"""Streams that are opened and closed again first: what is made once is no stream's."""
EVENTS = 20
OPENING = 50
"""Streams that are being opened at a time."""


@dataclass(frozen=True)
class Cost:
    """Of one stream: memory in KiB; CPU of the gateway in ms to open it, and in µs to tell it an event.

    `last_ms` is from an event's publication until the last client has it, the median.
    """

    kib: float
    open_cpu_ms: float
    event_cpu_us: float
    last_ms: float


@dataclass(frozen=True)
class World:
    """The servers, and a training of an owner whose key this is."""

    nats_url: str
    database_url: str
    key: str
    training_id: UUID


async def measure(source: Path, world: World, clients: int) -> Cost:
    """Run the gateway of `source` and open that many streams."""
    with TemporaryDirectory() as folder, gateway(source, world, Path(folder)) as (process, url):
        await _ready(url)
        async with streams(url, world, WARM):
            pass
        await _quiet(process.pid)
        kib, cpu_s = _rss_kib(process.pid), _cpu_s(process.pid)
        async with streams(url, world, clients) as readers:
            await _quiet(process.pid)
            opened_kib, opened_s = _rss_kib(process.pid), _cpu_s(process.pid)
            last_ms = await _tell(world, readers)
            told_s = _cpu_s(process.pid)
        return Cost(
            kib=(opened_kib - kib) / clients,
            open_cpu_ms=(opened_s - cpu_s) * 1e3 / clients,
            event_cpu_us=(told_s - opened_s) * 1e6 / clients / EVENTS,
            last_ms=last_ms,
        )


@contextmanager
def gateway(source: Path, world: World, folder: Path) -> Iterator[tuple["subprocess.Popen[bytes]", str]]:
    """A gateway process and its URL."""
    [port] = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    environment = {
        "NATS_URL": world.nats_url,
        "DATABASE_URL": world.database_url,
        "COLLECTOR_TOKEN": "the collector's token",
        "STORAGE_DIR": str(folder / "storage"),
        "STORAGE_PUBLIC_URL": url,
        "STORAGE_SECRET": "s" * 32,
        "GATEWAY_HTTP_PORT": str(port),
        "GATEWAY_REQUESTS_PER_MINUTE": "1000000",
        "GATEWAY_GRACEFUL_TIMEOUT_S": "1",
        "LOG_LEVEL": "WARNING",
        "PYTHONPATH": str(source),
        "PATH": os.environ["PATH"],
    }
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "fluxline_gateway"], env=environment, stderr=log)
    try:
        yield process, url
    finally:
        process.kill()
        process.wait()


@asynccontextmanager
async def streams(url: str, world: World, count: int) -> AsyncIterator[list[asyncio.StreamReader]]:
    """That many open streams, each of which has had its snapshot."""
    host, port = urlsplit(url).hostname, urlsplit(url).port
    request = (
        f"GET /v1/trainings/{world.training_id}/events HTTP/1.1\r\nHost: {host}:{port}\r\n"
        f"Authorization: Bearer {world.key}\r\nAccept: text/event-stream\r\n\r\n"
    ).encode()
    places, writers = asyncio.Semaphore(OPENING), []

    async def opened() -> asyncio.StreamReader:
        async with places:
            reader, writer = await asyncio.open_connection(host, port, limit=2**14)
            writers.append(writer)
            writer.write(request)
            await reader.readuntil(b"event: snapshot")
            await reader.readuntil(b"\n\n")
        return reader

    try:
        yield list(await asyncio.gather(*(opened() for _ in range(count))))
    finally:
        for writer in writers:
            writer.transport.abort()


async def _tell(world: World, readers: list[asyncio.StreamReader]) -> float:
    """Publish events one after the other; the median of the milliseconds until all clients have one."""
    bus = Bus("bench", world.nats_url, make_tracer_provider("bench", None))
    await bus.broker.connect()
    took = []
    try:
        for number in range(EVENTS):
            began = time.perf_counter()
            await bus.publish(progressed(requested(world.training_id), int(began * 1e6) + number))
            await asyncio.gather(*(reader.readuntil(b"event: zip.progressed") for reader in readers))
            took.append((time.perf_counter() - began) * 1e3)
    finally:
        bus.stopping = True
        await bus.broker.stop()
    return statistics.median(took)


async def _ready(url: str) -> None:
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:

        async def is_ready() -> bool:
            try:
                return (await client.get("/readyz")).status_code == 200
            except httpx.TransportError:
                return False

        await poll_until(is_ready, 60)


async def _quiet(pid: int) -> None:
    """Until the process is at rest."""

    async def rests() -> bool:
        before = _cpu_s(pid)
        await asyncio.sleep(0.5)
        return _cpu_s(pid) - before <= 0.05

    await poll_until(rests, 60)


def _rss_kib(pid: int) -> int:
    [line] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1])


def _cpu_s(pid: int) -> float:
    """User and system time (proc(5): fields 14 and 15 of stat)."""
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


@asynccontextmanager
async def a_world() -> AsyncIterator[World]:
    """Servers, a key and a training."""
    with nats_server() as nats, postgres_server() as postgres:
        url = postgres.create_database()
        await migrate(url, "fluxline_gateway")
        await provision(nats.url)
        database = Database(url, SCHEMA)
        await database.open()
        key, _ = await keys.create(database.pool, "ada")
        world = World(nats.url, url, key, UUID(int=0))
        with TemporaryDirectory() as folder, gateway(OWN, world, Path(folder)) as (_, address):
            await _ready(address)
            headers = {"Authorization": f"Bearer {key}"}
            async with httpx.AsyncClient(base_url=address, headers=headers, trust_env=False) as client:
                answer = await client.post("/v1/trainings", json=await order_of(database))
        await database.close()
        yield World(nats.url, url, key, UUID(answer.raise_for_status().json()["id"]))


async def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--against", type=Path, help="services/gateway/src of another version")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    sources = {"this": OWN} | ({"other": options.against} if options.against else {})
    found: dict[str, list[Cost]] = {name: [] for name in sources}
    async with a_world() as world:
        for _ in range(options.rounds):
            for name, source in sources.items():
                found[name].append(await measure(source, world, options.clients))
                print(name, found[name][-1], flush=True)
    medians = {
        name: {field.name: statistics.median(getattr(cost, field.name) for cost in costs) for field in fields(Cost)}
        for name, costs in found.items()
    }
    print(json.dumps(medians, indent=2))
    if options.json:
        rounds = {name: [asdict(cost) for cost in costs] for name, costs in found.items()}
        options.json.write_text(json.dumps({"clients": options.clients, "medians": medians, "rounds": rounds}))


if __name__ == "__main__":
    asyncio.run(main())
