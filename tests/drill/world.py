"""Jobs at every stage, a backup, and what went on after it: what the drill loses and looks for again."""

import asyncio
import json
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from e2e.running import FLUXLINE
from faults.scene import Scene
from faults.stack import SERVICES, FaultStack

COMMAND_TIMEOUT_S = 300
LONG_S, SHORT_S = 30.0, 1.0
Json = dict[str, Any]


@dataclass(frozen=True)
class Jobs:
    """Trainings by where they were when the backup was made; `late` was begun after it."""

    done: list[str]
    publishing: str
    training: str
    zipping: str
    late: str

    @property
    def kept(self) -> list[str]:
        """Those that the backup knows."""
        return [*self.done, self.publishing, self.training, self.zipping]


@asynccontextmanager
async def scene_of(stack: FaultStack, photos: list[Path]) -> AsyncIterator[Scene]:
    """The stack, looked at from outside."""
    async with (
        stack.client(stack.state["api_key"]) as api,
        httpx.AsyncClient(base_url=stack.state["sandbox_url"], timeout=20) as sandbox,
    ):
        yield Scene(stack, api, sandbox, photos)


async def jobs_at_every_stage(scene: Scene) -> Jobs:
    """Two that have ended, one that cannot be published yet, one that trains for long, one that nobody zips."""
    await scene.begin()
    await scene.providers(training_seconds=SHORT_S)
    done = await scene.submit(2)
    await scene.completed(done)
    await scene.fault("commit", "status", provider="huggingface", code=503, times=None)
    [publishing] = await scene.submit()
    await scene.until(publishing, "publishing")
    await scene.providers(training_seconds=LONG_S)
    [training] = await scene.submit()
    await scene.until_event(training, "training.started")
    await scene.stack.stop("zipper")
    [zipping] = await scene.submit()
    return Jobs(done, publishing, training, zipping, late="")


async def go_on(scene: Scene, jobs: Jobs) -> Jobs:
    """After the backup: what waited is paid for and published, and one more job is begun and paid for."""
    await scene.sandbox.delete("/_sandbox/faults")
    await scene.providers(training_seconds=SHORT_S)
    await scene.stack.start("zipper")
    for each in (jobs.publishing, jobs.zipping):
        assert (await scene.until(each))["status"] == "completed"
    await scene.providers(training_seconds=LONG_S)
    [late] = await scene.submit()
    await scene.until_event(late, "training.started")
    return Jobs(jobs.done, jobs.publishing, jobs.training, jobs.zipping, late)


async def crash_everything(stack: FaultStack) -> None:
    """Every process but the providers' is killed."""
    await asyncio.gather(*(stack.stop(name, crash=True) for name in (*SERVICES, "studio")))
    await asyncio.gather(*(stack.stop(name, crash=True) for name in ("postgres", "nats")))


def destroy(home: Path, *, postgres: bool, nats: bool) -> None:
    """Their data is gone."""
    if postgres:
        shutil.rmtree(home / "postgres")
    if nats:
        shutil.rmtree(home / "nats" / "jetstream")


async def told_of(scene: Scene, ids: list[str]) -> list[tuple[Json, list[Json]]]:
    """Each training with its history, as its owner reads them; addresses of the gateway are cut."""
    url = scene.stack.state["gateway_url"]

    async def one(training_id: str) -> tuple[Json, list[Json]]:
        answer = await scene.api.get(f"/v1/trainings/{training_id}")
        training: Json = json.loads(answer.text.replace(url, ""))
        return training, await scene.events(training_id)

    return [await one(each) for each in ids]


async def provider_counts(scene: Scene) -> Mapping[str, int]:
    """How many trainings were paid for and how many commits made, ever."""
    state = (await scene.sandbox.get("/_sandbox/state")).json()
    return {name: int(state[name]) for name in ("trainings", "commits")}


async def fluxline(home: Path, *arguments: str) -> tuple[Json, float]:
    """What a `fluxline … --json` command on this home answers, and its seconds."""
    command, began = [FLUXLINE, *arguments, "--home", str(home), "--json"], time.monotonic()
    done = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    answer: Json = json.loads(done.stdout)
    return answer, time.monotonic() - began
