"""Routes that generate pictures: with a base model, or with a version that a training produced."""

import asyncio
import re
import time
from typing import Any

from fastapi import APIRouter, Request

from fluxline_sandbox.replicate import painter, webhooks
from fluxline_sandbox.replicate.catalog import MODELS
from fluxline_sandbox.replicate.credit import spend
from fluxline_sandbox.replicate.inputs import TRAINED_VERSION, Schema, validated
from fluxline_sandbox.replicate.jobs import new_id
from fluxline_sandbox.replicate.problems import Problem, json_body, not_found
from fluxline_sandbox.replicate.trainings import listing
from fluxline_sandbox.sandbox import Sandbox
from fluxline_sandbox.store import Document

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
        return painter.shown(sandbox, _existing(sandbox, id))

    @routes.get("/predictions")
    async def list_page(cursor: str | None = None) -> dict[str, Any]:
        return listing(sandbox, "prediction", cursor)

    @routes.post("/predictions/{id}/cancel")
    async def cancel(id: str) -> dict[str, Any]:
        job = _existing(sandbox, id)
        painter.cancel(sandbox, job)
        return painter.shown(sandbox, job)

    return routes


async def _create(
    sandbox: Sandbox, request: Request, body: dict[str, Any], model: str, version: str, schema: Schema
) -> dict[str, Any]:
    values = validated(schema, body.get("input", {}))
    spend(sandbox)
    job = _new_job(sandbox, body, model, version, values)
    sandbox.store.put("prediction", job["id"], job)
    sandbox.store.increment("generations")
    painter.start(sandbox, job)
    if (seconds := _wait_seconds(request.headers.get("prefer", ""))) and (
        task := sandbox.tasks.get(f"prediction {job['id']}")
    ):
        await asyncio.wait([task], timeout=seconds)
        return painter.shown(sandbox, job)
    return {**painter.shown(sandbox, job), "status": "starting"}


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


def _wait_seconds(prefer: str) -> int:
    """Seconds to hold the answer: `Prefer: wait` or `Prefer: wait=n`, else 0."""
    match = re.fullmatch(r"wait(?:=(\d{1,3}))?", prefer.strip())
    return 0 if match is None else min(int(match[1] or _WAIT_LIMIT_SECONDS), _WAIT_LIMIT_SECONDS)


def _existing(sandbox: Sandbox, id: str) -> Document:
    job = sandbox.store.get("prediction", id)
    if job is None:
        raise not_found()
    return job
