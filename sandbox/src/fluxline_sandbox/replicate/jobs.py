"""Trainings and predictions as Replicate shows them; both are jobs with the same life."""

import asyncio
import secrets
import time
from datetime import UTC, datetime
from typing import Any

from fluxline_sandbox.sandbox import Sandbox
from fluxline_sandbox.store import Document

TERMINAL = frozenset({"succeeded", "failed", "canceled", "aborted"})
_STARTING_SHARE = 0.1
_STARTING_LIMIT_SECONDS = 2.0
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


def new_id() -> str:
    """26 characters, as Replicate's ids."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(26))


def timestamp(seconds: float | None) -> str | None:
    """Unix seconds to RFC 3339 in UTC."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def starts_at(job: Document) -> float:
    """When a job leaves `starting`, Unix seconds."""
    return float(job["created_at"] + min(job["seconds"] * _STARTING_SHARE, _STARTING_LIMIT_SECONDS))


def ends_at(job: Document) -> float:
    """When a job that nothing stops will be done, Unix seconds."""
    return float(job["created_at"] + job["seconds"])


def status(job: Document) -> str:
    """The stored status once terminal, otherwise told from the clock."""
    if job["status"] in TERMINAL:
        return str(job["status"])
    return "starting" if time.time() < starts_at(job) else "processing"


async def until(moment: float) -> None:
    """Sleep until the wall clock, by which the status is told, has reached `moment` (Unix seconds)."""
    while (left := moment - time.time()) > 0:  # noqa: ASYNC110 (it is the clock that is awaited)
        await asyncio.sleep(left)


def progress(job: Document) -> float:
    """Share of the work that is done, 0 to 1, frozen when the job ended."""
    now = job["completed_at"] or time.time()
    begin, end = starts_at(job), ends_at(job)
    return min(1.0, max(0.0, (now - begin) / (end - begin))) if end > begin else float(now >= end)


def finish(job: Document, outcome: str, *, error: str | None = None, output: Any = None) -> None:
    """Make a job terminal, in place."""
    job["completed_at"] = time.time()
    job["status"], job["error"], job["output"] = outcome, error, output


def public(sandbox: Sandbox, job: Document, logs: str) -> dict[str, Any]:
    """The job as the API answers it; `metrics` in seconds and only once it ended."""
    state = status(job)
    began = None if state == "starting" or job["status"] == "aborted" else starts_at(job)
    base = f"{sandbox.settings.base_url}/replicate/v1/{job['kind']}s/{job['id']}"
    shown: dict[str, Any] = {
        key: job[key] for key in ("id", "model", "version", "input", "output", "error", "destination") if key in job
    }
    shown |= {
        "status": state,
        "logs": logs,
        "source": "api",
        "data_removed": False,
        "created_at": timestamp(job["created_at"]),
        "started_at": timestamp(began if began is None else min(began, job["completed_at"] or began)),
        "completed_at": timestamp(job["completed_at"]),
        "urls": {"get": base, "cancel": f"{base}/cancel"},
    }
    if (ended := job["completed_at"]) is not None:
        total = ended - job["created_at"]
        predict = max(0.0, ended - (began or ended))
        shown["metrics"] = {"predict_time": round(predict, 6), "total_time": round(total, 6)}
    return shown
