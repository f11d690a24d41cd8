"""What the services log about a job is reachable from the job, on a real stack."""

from pathlib import Path
from typing import Any

import httpx

from polling import poll_until

from .running import RunningStack, job, submit, until_status, upload

STAGES = ["zip_creation", "huggingface_upload"]
"""Those of a message's handler; a training outlives its handler, and the trainer tells of it in words of its own."""


async def test_a_jobs_log_is_answered_with_the_job(
    stack: RunningStack, api: httpx.AsyncClient, photos: list[Path]
) -> None:
    training = await submit(api, job(await upload(api, photos)))
    await until_status(api, training["id"])

    async def told() -> list[Any] | None:
        items: list[Any] = (await api.get(f"/v1/trainings/{training['id']}/debug/logs?limit=1000")).json()["items"]
        return items if _stages_done(items) == STAGES else None

    items = await poll_until(told)
    assert {item["training_id"] for item in items} <= {training["id"], None}
    assert len({item["trace_id"] for item in items if item["trace_id"]}) == 1
    assert {"zipper", "trainer", "publisher"} <= {item["service"] for item in items}


def _stages_done(items: list[Any]) -> list[str]:
    return [item["fields"]["stage"] for item in items if item["event"] == "attempt.succeeded"]
