"""The long form: many jobs while, every second, one process of the stack is killed. `python tests/faults/soak.py`.

The stack is `fluxline up` as it is; its supervisor starts what was killed. Exits with 0 only if every job completed,
was paid once and published once, and nothing is left over. The seed is printed, and repeats the order of the kills.
"""

import argparse
import asyncio
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncpg
import httpx

sys.path[:0] = [str(Path(__file__).parents[1])]
from e2e.running import RunningStack  # noqa: E402  # this file is run as a script
from faults.scene import MILESTONES, Scene  # noqa: E402
from faults.stack import QUICK, SERVICES, FaultStack  # noqa: E402
from photos import write_photos  # noqa: E402

SERVED_S = 2.0
VICTIMS = (*SERVICES, "nats", "postgres")
_EVENTS = "SELECT subject, count(*) FROM collector.events WHERE training_id = ANY($1::uuid[]) GROUP BY subject"


class PlainStack(FaultStack):
    """`fluxline up` itself, without links and without orders: its own supervisor is under test too."""

    __enter__ = RunningStack.__enter__


class Killer:
    """Kills a random process of the stack every `every_s`; counts how often each was hit.

    Only what has served for `SERVED_S` is hit: killing what is still starting tests nothing but the start, and a slow
    machine would never get to work.
    """

    def __init__(self, scene: Scene, seed: int, every_s: float) -> None:
        self.scene, self.every_s = scene, every_s
        self.chance = random.Random(seed)
        self.kills: Counter[str] = Counter()
        self._ready_since: dict[int, float] = {}

    async def run(self) -> None:
        """Until it is canceled."""
        async with httpx.AsyncClient(timeout=2) as http:
            while True:
                await asyncio.sleep(self.every_s)
                ripe = [name for name in VICTIMS if await self._has_served(http, name)]
                if ripe:
                    victim = self.chance.choice(ripe)
                    with suppress(ProcessLookupError):
                        os.kill(self.scene.stack.pid(victim), signal.SIGKILL)
                        self.kills[victim] += 1

    async def _has_served(self, http: httpx.AsyncClient, name: str) -> bool:
        pid = self.scene.stack.pid(name)
        if not await self._serves(http, name):
            self._ready_since.pop(pid, None)
            return False
        return time.monotonic() - self._ready_since.setdefault(pid, time.monotonic()) >= SERVED_S

    async def _serves(self, http: httpx.AsyncClient, name: str) -> bool:
        try:
            if name == "postgres":
                return bool(await self.scene.query("SELECT 1"))
            return (await http.get(self.scene.stack.state["services"][name]["health_url"])).status_code == 200
        except (httpx.HTTPError, OSError, asyncpg.PostgresError, asyncpg.InternalClientError, TimeoutError):
            return False


async def soak(stack: FaultStack, photos: list[Path], options: argparse.Namespace) -> str:
    """Run the jobs under fire, then judge. Raises AssertionError with what is wrong; returns the summary."""
    async with (
        stack.client(stack.state["api_key"]) as api,
        httpx.AsyncClient(base_url=stack.state["sandbox_url"], timeout=30) as sandbox,
    ):
        scene = Scene(stack, api, sandbox, photos)
        await scene.begin()
        killer = Killer(scene, options.seed, options.every)
        killing = asyncio.create_task(killer.run())
        try:
            async with asyncio.timeout(options.minutes * 60):
                ids = await _jobs(scene, options.jobs, options.at_once)
        finally:
            killing.cancel()
        seen = await scene.completed(ids, timeout_s=300)
        await _all_recorded(scene, ids)
    seconds = time.monotonic() - scene.began
    hits = ", ".join(f"{name} {count}" for name, count in sorted(killer.kills.items()))
    return f"soak: seed {options.seed}: {seen}; {killer.kills.total()} kills in {seconds:.0f} s ({hits})"


async def _jobs(scene: Scene, count: int, at_once: int) -> list[str]:
    """That many jobs, `at_once` of them on their way at any time; returns their ids once all have ended."""
    slots = asyncio.Semaphore(at_once)
    ids: list[str] = []

    async def one() -> None:
        async with slots:
            [training_id] = await scene.submit(timeout_s=600)
            training = await scene.until(training_id, timeout_s=900)
            ids.append(training_id)
            print(f"{len(ids)}/{count} {training_id} {training['status']}", flush=True)

    await asyncio.gather(*(one() for _ in range(count)))
    return ids


async def _all_recorded(scene: Scene, ids: list[str]) -> None:
    rows: list[Any] = await scene.query(_EVENTS, ids)
    counts = {row["subject"]: row["count"] for row in rows if row["subject"] in MILESTONES}
    assert counts == dict.fromkeys(MILESTONES, len(ids)), counts


def main() -> int:
    """Parse, run, report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--at-once", type=int, default=8)
    parser.add_argument("--every", type=float, default=1.0, help="seconds between two kills")
    parser.add_argument("--minutes", type=float, default=60.0, help="give up after")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    os.environ.update(QUICK)
    with tempfile.TemporaryDirectory(prefix="fluxline-soak-") as folder:
        photos = write_photos(Path(folder) / "photos", count=5, size=(640, 600), seed=options.seed)
        with PlainStack(Path(folder) / "home") as stack:
            try:
                print(asyncio.run(soak(stack, photos, options)))
            except (AssertionError, TimeoutError) as error:
                print(f"soak: seed {options.seed}: FAILED: {type(error).__name__}: {error}")
                keep = Path(tempfile.mkdtemp(prefix="fluxline-soak-failed-"))
                (stack.home / "logs").rename(keep / "logs")
                print(f"soak: the logs are in {keep}")
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
