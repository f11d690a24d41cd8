"""Routes that generate pictures: with a base model, or with a version that a training produced."""

import asyncio
import re
import secrets
import time
from typing import Any

from fastapi import APIRouter, Request

from fluxline_sandbox.pictures import draw
from fluxline_sandbox.replicate import webhooks
from fluxline_sandbox.replicate.catalog import MODELS
from fluxline_sandbox.replicate.credit import spend
from fluxline_sandbox.replicate.inputs import TRAINED_VERSION, Schema, validated
from fluxline_sandbox.replicate.jobs import TERMINAL, ends_at, finish, new_id, public
from fluxline_sandbox.replicate.problems import Problem, json_body, not_found
from fluxline_sandbox.replicate.trainings import listing
from fluxline_sandbox.sandbox import Sandbox
from fluxline_sandbox.store import Document

_REFUSED_WORD = "nsfw-test"
_REFUSAL = (
    "NSFW content detected. Try running it again, or try a different prompt. "
    "(https://replicate.com/docs/how-does-replicate-work#safety)"
)
_PIXELS = 1_048_576
_WAIT_LIMIT_SECONDS = 60


def router(sandbox: Sandbox) -> APIRouter:
    """`/predictions` and `/models/{owner}/{name}/predictions`."""
    routes = APIRouter()

    @routes.post("/predictions", status_code=201)
    async def create(request: Request) -> dict[str, Any]:
        body = await json_body(request)
        model, version, schema = _target(sandbox, body.get("version"))
        return await _create(sandbox, request, body, model, version, schema)

    @routes.post("/models/{owner}/{name}/predictions", status_code=201)
    async def create_with_model(request: Request, owner: str, name: str) -> dict[str, Any]:
        known = MODELS.get(f"{owner}/{name}")
        if known is None or known.tar_path is not None:
            raise not_found()
        body = await json_body(request)
        return await _create(sandbox, request, body, known.id, known.version, known.schema)

    @routes.get("/predictions/{id}")
    async def get(id: str) -> dict[str, Any]:
        return _shown(sandbox, _existing(sandbox, id))

    @routes.get("/predictions")
    async def list_page(cursor: str | None = None) -> dict[str, Any]:
        return listing(sandbox, "prediction", cursor, _shown)

    @routes.post("/predictions/{id}/cancel")
    async def cancel(id: str) -> dict[str, Any]:
        job = _existing(sandbox, id)
        if job["status"] not in TERMINAL:
            sandbox.stop(f"prediction {id}")
            finish(job, "canceled")
            sandbox.store.put("prediction", id, job)
            sandbox.store.increment("cancels")
        return _shown(sandbox, job)

    return routes


def resume(sandbox: Sandbox) -> None:
    """Go on with every prediction that has not ended."""
    for job in sandbox.store.all("prediction"):
        if job["status"] not in TERMINAL:
            sandbox.spawn(f"prediction {job['id']}", _run(sandbox, job))


async def _create(
    sandbox: Sandbox, request: Request, body: dict[str, Any], model: str, version: str, schema: Schema
) -> dict[str, Any]:
    values = validated(schema, body.get("input", {}))
    spend(sandbox)
    job = _new_job(sandbox, body, model, version, values)
    sandbox.store.put("prediction", job["id"], job)
    sandbox.store.increment("generations")
    sandbox.spawn(f"prediction {job['id']}", _run(sandbox, job))
    if (seconds := _wait_seconds(request.headers.get("prefer", ""))) and (
        task := sandbox.tasks.get(f"prediction {job['id']}")
    ):
        await asyncio.wait([task], timeout=seconds)
        return _shown(sandbox, job)
    return {**_shown(sandbox, job), "status": "starting"}


def _target(sandbox: Sandbox, version: Any) -> tuple[str, str, Schema]:
    """(model, version id, inputs) of the version that is asked for, as an id or as `owner/name:id`."""
    id = version.rpartition(":")[2] if isinstance(version, str) else ""
    for known in MODELS.values():
        if known.tar_path is None and id in (known.version, known.id):
            return known.id, known.version, known.schema
    trained = sandbox.store.get("version", id)
    if trained is None or sandbox.store.get("model", trained["model"]) is None:
        detail = "The specified version does not exist (or perhaps you don't have permission to use it?)"
        raise Problem(422, "Invalid version or not permitted", detail)
    return trained["model"], id, TRAINED_VERSION


def _new_job(sandbox: Sandbox, body: dict[str, Any], model: str, version: str, values: dict[str, Any]) -> Document:
    return {
        "kind": "prediction",
        "id": new_id(),
        "model": model,
        "version": version,
        "input": {name: value for name, value in values.items() if value is not None},
        "created_at": time.time(),
        "seconds": sandbox.behaviour.generation_seconds,
        "status": "processing",
        "completed_at": None,
        "error": None,
        "output": None,
        "logs": "",
        **webhooks.subscription(body),
    }


async def _run(sandbox: Sandbox, job: Document) -> None:
    await webhooks.deliver(sandbox, job, "start", _shown(sandbox, job))
    await asyncio.sleep(max(0.0, ends_at(job) - time.time()))
    seed = job["input"].get("seed")
    seed = secrets.randbelow(2**31) if seed is None else seed
    job["logs"] = f"Using seed: {seed}\n"
    if _REFUSED_WORD in job["input"]["prompt"].lower():
        finish(job, "failed", error=_REFUSAL)
    else:
        finish(job, "succeeded", output=await _pictures(sandbox, job["input"], seed))
    sandbox.store.put("prediction", job["id"], job)
    await webhooks.deliver(sandbox, job, "completed", _shown(sandbox, job))


async def _pictures(sandbox: Sandbox, values: dict[str, Any], seed: int) -> list[str]:
    """Draw and store the pictures; the answer is their delivery URLs."""
    width, height = _size(values)
    token, format = secrets.token_urlsafe(24), values["output_format"]
    folder = sandbox.store.folder("outputs") / token
    folder.mkdir()
    urls = []
    for index in range(values["num_outputs"]):
        name = f"out-{index}.{format}"
        arguments = (values["prompt"], seed + index, width, height, format, values["output_quality"])
        async with sandbox.heavy:
            (folder / name).write_bytes(await asyncio.to_thread(draw, *arguments))
        urls.append(f"{sandbox.settings.base_url}/replicate/delivery/{token}/{name}")
    return urls


def _size(values: dict[str, Any]) -> tuple[int, int]:
    """Pixels for the aspect ratio, or the asked size rounded down to 16 when the ratio is `custom`."""
    if values["aspect_ratio"] == "custom":
        width, height = values.get("width", 1024), values.get("height", 1024)
        return width // 16 * 16, height // 16 * 16
    across, down = map(int, values["aspect_ratio"].split(":"))
    scale = (_PIXELS / (across * down)) ** 0.5
    return int(across * scale) // 16 * 16, int(down * scale) // 16 * 16


def _wait_seconds(prefer: str) -> int:
    """Seconds to hold the answer: `Prefer: wait` or `Prefer: wait=n`, else 0."""
    match = re.fullmatch(r"wait(?:=(\d{1,3}))?", prefer.strip())
    return 0 if match is None else min(int(match[1] or _WAIT_LIMIT_SECONDS), _WAIT_LIMIT_SECONDS)


def _existing(sandbox: Sandbox, id: str) -> Document:
    job = sandbox.store.get("prediction", id)
    if job is None:
        raise not_found()
    return job


def _shown(sandbox: Sandbox, job: Document) -> dict[str, Any]:
    return public(sandbox, job, job["logs"])
