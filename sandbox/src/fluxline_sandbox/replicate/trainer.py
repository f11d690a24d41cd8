"""A training from its creation to its end; the clock tells the progress, a task makes the effects."""

import asyncio
import hashlib
import secrets
import time
from typing import Any

from fluxline_sandbox.replicate import webhooks
from fluxline_sandbox.replicate.dataset import DatasetError, fetch, inspect, spool
from fluxline_sandbox.replicate.jobs import TERMINAL, ends_at, finish, public, starts_at, until
from fluxline_sandbox.replicate.logs import training_log
from fluxline_sandbox.sandbox import Sandbox
from fluxline_sandbox.store import Document

_FAILS_AT = 0.6
_LOG_EVENTS = 5
_LOG_EVENT_SECONDS = 0.5


def shown(sandbox: Sandbox, job: Document) -> dict[str, Any]:
    """The training as the API answers it now."""
    return public(sandbox, job, training_log(job))


def start(sandbox: Sandbox, job: Document) -> None:
    """Go on with a stored training in the background, from wherever it is."""
    if job["status"] not in TERMINAL:
        sandbox.spawn(f"training {job['id']}", _run(sandbox, job))
    elif not job["announced"]:
        _announce(sandbox, job)


def cancel(sandbox: Sandbox, job: Document) -> None:
    """End a running training as canceled, with its terminal webhook; a terminal one stays as it is."""
    if job["status"] in TERMINAL:
        return
    sandbox.stop(f"training {job['id']}")
    finish(job, "canceled")
    sandbox.store.put("training", job["id"], job)
    sandbox.store.increment("cancels")
    _announce(sandbox, job)


def _announce(sandbox: Sandbox, job: Document) -> None:
    """Send the terminal webhook in the background; a restart goes on with one that was not delivered yet."""

    async def deliver() -> None:
        await webhooks.deliver(sandbox, job, "completed", shown(sandbox, job))
        job["announced"] = True
        sandbox.store.put("training", job["id"], job)

    sandbox.spawn(f"announcing {job['id']}", deliver())


async def _run(sandbox: Sandbox, job: Document) -> None:
    try:
        if job["dataset"] is None:
            job["dataset"] = await _prepare(sandbox, job["input"]["input_images"])
            sandbox.store.put("training", job["id"], job)
        await until(starts_at(job))
        if job["outcome"] == "aborted":
            finish(job, "aborted")
        else:
            await _train(sandbox, job)
    except DatasetError as error:
        await until(starts_at(job))
        finish(job, "failed", error=str(error))
    sandbox.store.put("training", job["id"], job)
    _announce(sandbox, job)


async def _prepare(sandbox: Sandbox, url: str) -> Document:
    """Fetch and inspect the images; the archive is gone afterwards."""
    with spool() as archive:
        async with sandbox.heavy:
            await fetch(sandbox.http, url, sandbox.behaviour.max_zip_bytes, archive)
            return await asyncio.to_thread(inspect, archive)


async def _train(sandbox: Sandbox, job: Document) -> None:
    webhooks.tell(sandbox, job, "start", lambda: shown(sandbox, job))
    end = ends_at(job)
    if job["outcome"] == "failed":
        end = starts_at(job) + _FAILS_AT * (end - starts_at(job))
    await _report_until(sandbox, job, end)
    if job["outcome"] == "failed":
        finish(job, "failed", error=job["failure"])
        return
    finish(job, "succeeded", output=_publish(sandbox, job))
    sandbox.store.put("training", job["id"], job)
    webhooks.tell(sandbox, job, "output", lambda: shown(sandbox, job))


async def _report_until(sandbox: Sandbox, job: Document, end: float) -> None:
    """Wait for the end, sending a few log events on the way to those who asked for them."""
    if webhooks.wants(job, "logs"):
        pause = max(_LOG_EVENT_SECONDS, job["seconds"] / _LOG_EVENTS)
        while time.time() + pause < end:
            await asyncio.sleep(pause)
            webhooks.tell(sandbox, job, "logs", lambda: shown(sandbox, job))
    await until(end)


def _publish(sandbox: Sandbox, job: Document) -> dict[str, str]:
    """Register the new version and its tar; the answer is the training's output."""
    version = hashlib.sha256(f"version trained by {job['id']}".encode()).hexdigest()
    token = secrets.token_urlsafe(24)
    sandbox.store.put("delivery", token, {"training": job["id"]})
    sandbox.store.put("version", version, {"model": job["destination"], "training": job["id"]})
    model = sandbox.store.get("model", job["destination"])
    if model is not None:
        model["latest"], model["versioned_at"] = version, time.time()
        sandbox.store.put("model", job["destination"], model)
    url = f"{sandbox.settings.base_url}/replicate/delivery/{token}/trained_model.tar"
    return {"version": f"{job['destination']}:{version}", "weights": url}
