"""The four steps of a job with nothing to do in them: our runtime beside its floor and its peers.

    python -m bench.pipeline [--rounds 3] [--jobs 400]

Each step is a process of its own, and so is who sends. At saturation all jobs are sent at once; for the latency each
is sent when the one before has ended, so that none waits for another. Every broker syncs to disk before it confirms,
but for the pair that says otherwise. CPU is that of the four steps. Ours run through `fluxline.runtime.Service`;
gateway, collector and storage have no part in it.
"""

import argparse
import asyncio
import os
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from bench import peers_at_hand as at_hand
from bench.measure import ROOT, SCRATCH, bars, figure, markdown, publish, ratio, taking_turns

sys.path.insert(0, str(ROOT / "tests"))
from fluxline.runtime.provision import provision
from processes import temporary_home  # the folder of the tests is on no path
from servers import NatsServer, PostgresServer

PEERS: Final = ROOT / "bench" / "peers"
STEPS: Final = (1, 2, 3, 4)
LATENCIES: Final = 40
WARM_UP: Final = 8
TIMEOUT_S: Final = 240
OURS: Final = "fluxline, everything on"


class LazyNats(NatsServer):
    """NATS as it comes: messages are on disk after two minutes."""

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        config = home / "nats.conf"
        config.write_text(config.read_text().replace(", sync_interval: always", ""))


class DurablePostgres(PostgresServer):
    """PostgreSQL with what the tests do without."""

    def __init__(self, home: Path, user: str | None) -> None:
        super().__init__(home, user)
        self._command = [part.replace("=off", "=on") for part in self._command]


@dataclass(frozen=True)
class Outcome:
    """Jobs per second at saturation, and seconds from sending to the end of single jobs."""

    rate: float
    latencies: list[float]
    cpu_ms: float
    worker_mib: float


@dataclass
class Line:
    """The processes of one system, and when each job was sent and has ended."""

    sender: Process
    steps: list[Process]
    sent: dict[str, float] = field(default_factory=dict)
    ended: dict[str, float] = field(default_factory=dict)

    async def send(self, jobs: int) -> list[str]:
        """Send so many jobs and wait for their end; their ids."""
        ids = [str(uuid4()) for _ in range(jobs)]
        if self.sender.stdin is None:
            raise RuntimeError("the sender has no standard input")
        for one in ids:
            self.sent[one] = time.perf_counter()
            self.sender.stdin.write(f"{one}\n".encode())
            await self.sender.stdin.drain()
        async with asyncio.timeout(TIMEOUT_S):
            while not self.ended.keys() >= set(ids):  # noqa: ASYNC110  # `follow` takes the time
                await asyncio.sleep(0.005)
        return ids

    async def follow(self) -> None:
        """Note what the last step prints."""
        last = self.steps[-1].stdout
        while last and (line := await last.readline()):
            self.ended.setdefault(line.decode().strip(), time.perf_counter())

    def cpu_s(self) -> float:
        """What the four steps have used so far (proc(5), stat: utime and stime)."""
        fields = [Path(f"/proc/{step.pid}/stat").read_text().rpartition(")")[2].split() for step in self.steps]
        return sum(int(one[11]) + int(one[12]) for one in fields) / os.sysconf("SC_CLK_TCK")

    def memory_mib(self) -> float:
        """What the four steps keep resident."""
        pages = [int(Path(f"/proc/{step.pid}/statm").read_text().split()[1]) for step in self.steps]
        return sum(pages) * os.sysconf("SC_PAGE_SIZE") / 2**20


async def measured(command: Sequence[str | Path], environment: Mapping[str, str], jobs: int) -> Outcome:
    """Start the steps and the sender, and let jobs through."""
    parts = [str(part) for part in command]
    started: list[Process] = []
    try:
        for arguments in (*(["step", str(number)] for number in STEPS), ["send"]):
            started.append(await _ready(parts + arguments, environment))
        line = Line(started[-1], started[:-1])
        following = asyncio.create_task(line.follow())
        await line.send(WARM_UP)
        alone = [(await line.send(1))[0] for _ in range(LATENCIES)]
        used_s = line.cpu_s()
        many = await line.send(jobs)
        used_s = line.cpu_s() - used_s
        began, done = line.sent[many[0]], max(line.ended[one] for one in many)
        following.cancel()
        latencies = [line.ended[one] - line.sent[one] for one in alone]
        return Outcome(jobs / (done - began), latencies, used_s / jobs * 1e3, line.memory_mib())
    finally:
        for process in started:
            if process.returncode is None:
                process.kill()
            await process.wait()


async def _ready(command: Sequence[str], environment: Mapping[str, str]) -> Process:
    """A started process that has said that it is ready."""
    SCRATCH.mkdir(exist_ok=True)
    with (SCRATCH / "pipeline.log").open("ab") as log:
        variables = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **environment}
        process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, stderr=log, env=variables)
    async with asyncio.timeout(60):
        while process.stdout and (line := await process.stdout.readline()):
            if line.strip() == b"ready":
                return process
    process.kill()
    raise RuntimeError(f"{command[1:]} did not start; see {SCRATCH / 'pipeline.log'}")


@contextmanager
def fresh_nats(server_class: Callable[[Path], NatsServer]) -> Iterator[str]:
    """A server with the catalog's streams; its URL."""
    with temporary_home("bench-nats") as home, server_class(home) as server:
        asyncio.run(provision(server.url))
        yield server.url


def on_nats(command: Sequence[str | Path], jobs: int, server: Callable[[Path], NatsServer], **more: str) -> Outcome:
    """Through NATS JetStream."""
    with fresh_nats(server) as url:
        return asyncio.run(measured(command, {"NATS_URL": url, "HTTP_PORT": "0", **more}, jobs))


def on_postgres(command: Sequence[str | Path], jobs: int) -> Outcome:
    """Through tables of PostgreSQL, with fsync."""
    user = "nobody" if os.geteuid() == 0 else None
    with temporary_home("bench-postgres", owner=user) as home, DurablePostgres(home, user) as server:
        environment = {"DATABASE_URL": server.create_database()}

        async def work() -> Outcome:
            install = await asyncio.create_subprocess_exec(
                *map(str, command), "install", env={"PATH": os.environ["PATH"], **environment}
            )
            if await install.wait():
                raise RuntimeError(f"{command[-1]} could not make its tables")
            return await measured(command, environment, jobs)

        return asyncio.run(work())


def ways(jobs: int) -> dict[str, Callable[[], Outcome]]:
    """Who lets jobs through, by name."""
    ours: list[str | Path] = [sys.executable, PEERS / "steps_fluxline.py"]
    raw: list[str | Path] = [sys.executable, PEERS / "steps_nats.py"]
    found: dict[str, Callable[[], Outcome]] = {
        OURS: partial(on_nats, [*ours, "full"], jobs, NatsServer),
        "fluxline, bare": partial(on_nats, [*ours, "bare"], jobs, NatsServer, LOG_SHIPPING="false", LOG_LEVEL="ERROR"),
        "nats-py (floor)": partial(on_nats, raw, jobs, NatsServer),
        "fluxline, bare, sync later": partial(
            on_nats, [*ours, "bare"], jobs, LazyNats, LOG_SHIPPING="false", LOG_LEVEL="ERROR"
        ),
        "nats-py, sync later (floor)": partial(on_nats, raw, jobs, LazyNats),
    }
    if python := at_hand.environment("queues"):
        found["PgQueuer"] = partial(on_postgres, [python, PEERS / "steps_pgqueuer.py"], jobs)
        found["Procrastinate"] = partial(on_postgres, [python, PEERS / "steps_procrastinate.py"], jobs)
    return found


def percentile(values: Sequence[float], share: float) -> float:
    """The value that a share of them do not exceed."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def summary(found: Mapping[str, list[Outcome]]) -> dict[str, dict[str, Any]]:
    """Figures by name; ratios are those of a round."""
    rates = {name: [one.rate for one in each] for name, each in found.items()}
    return {
        name: {
            "jobs_per_s": figure(rates[name]),
            "p50_ms": figure([percentile(one.latencies, 0.5) * 1e3 for one in each]),
            "p99_ms": figure([percentile(one.latencies, 0.99) * 1e3 for one in each]),
            "cpu_ms": figure([one.cpu_ms for one in each]),
            "worker_mib": figure([one.worker_mib for one in each]),
            "ours_is_times": ratio(rates[OURS], rates[name]),
        }
        for name, each in found.items()
    }


def table(found: Mapping[str, Mapping[str, Any]]) -> str:
    """A line for each."""
    head = ["", "jobs/s", "p50 ms", "p99 ms", "CPU ms a job", "MiB of the four", "ours ÷ its jobs/s"]
    rows = [
        [
            f"**{name}**" if name == OURS else name,
            *(one["jobs_per_s"], one["p50_ms"], one["p99_ms"], one["cpu_ms"]),
            *(f"{one['worker_mib'].median:.0f}", one["ours_is_times"] if name != OURS else "1"),
        ]
        for name, one in found.items()
    ]
    return markdown(head, rows)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=400)
    options = parser.parse_args()
    found = summary(taking_turns(ways(options.jobs), options.rounds))
    section = f"{options.jobs} jobs at once, {options.rounds} rounds.\n\n{table(found)}"
    print(section)
    rates = {name: one["jobs_per_s"].median for name, one in found.items()}
    plain = {name: {key: vars(value) for key, value in one.items()} for name, one in found.items()}
    publish("pipeline", plain, section, {"pipeline": bars("Jobs per second", rates, unit="/s", ours=OURS)})


if __name__ == "__main__":
    main()
