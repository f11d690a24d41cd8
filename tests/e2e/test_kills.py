"""kill -9 of a process in the middle of a job: the job completes, nothing is paid or published twice.

The ones whose death would cost most; `make test-faults` kills every one, at every moment.
"""

from pathlib import Path

import httpx
import pytest

from .running import RunningStack, job, submit, until_status, upload

SLOW_COMMIT = {"provider": "huggingface", "operation": "commit", "kind": "latency", "seconds": 1.5}
MOMENTS = {
    "gateway": "training",
    "trainer": "training",
    "nats": "training",
    "postgres": "training",
}
"""What the job is doing when the program dies."""


@pytest.mark.parametrize("victim", MOMENTS)
async def test_a_job_survives_the_kill_of_any_program_and_is_paid_and_published_once(
    stack: RunningStack, api: httpx.AsyncClient, sandbox: httpx.AsyncClient, photos: list[Path], victim: str
) -> None:
    await sandbox.post("/_sandbox/settings", json={"training_seconds": 2})
    await sandbox.post("/_sandbox/faults", json=[SLOW_COMMIT])
    before = (await sandbox.get("/_sandbox/state")).json()
    training = await submit(api, job(await upload(api, photos), name=f"Survivor of {victim}"))
    training = await until_status(api, training["id"], MOMENTS[victim])
    assert training["status"] == MOMENTS[victim], "the job was faster than the kill"
    pid = stack.kill(victim)
    training = await until_status(api, training["id"])
    assert training["status"] == "completed", training["error"]
    after = (await sandbox.get("/_sandbox/state")).json()
    assert after["trainings"] - before["trainings"] == 1
    assert after["commits"] - before["commits"] == 1
    await stack.back_after(victim, pid)
