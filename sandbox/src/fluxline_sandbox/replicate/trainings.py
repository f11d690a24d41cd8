"""Routes under `/v1` that create, show, list and cancel trainings."""

import base64
import time
from typing import Any

from fastapi import APIRouter, Request

from fluxline_sandbox.replicate import trainer, webhooks
from fluxline_sandbox.replicate.catalog import MODELS, KnownModel
from fluxline_sandbox.replicate.credit import spend
from fluxline_sandbox.replicate.inputs import validated
from fluxline_sandbox.replicate.jobs import new_id, public
from fluxline_sandbox.replicate.problems import Problem, invalid, json_body, not_found
from fluxline_sandbox.sandbox import Sandbox
from fluxline_sandbox.store import Document

PAGE = 100
_DURATION_HEADER = "x-sandbox-training-seconds"


def router(sandbox: Sandbox) -> APIRouter:
    """`/trainings` and `/models/{owner}/{name}/versions/{version}/trainings`."""
    routes = APIRouter()

    @routes.post("/models/{owner}/{name}/versions/{version}/trainings", status_code=201)
    async def create(request: Request, owner: str, name: str, version: str) -> dict[str, Any]:
        model = _trainer(owner, name, version)
        body = await json_body(request)
        job = _new_job(sandbox, model, body, _seconds(sandbox, request))
        spend(sandbox)
        sandbox.store.put("training", job["id"], job)
        sandbox.store.increment("trainings")
        trainer.start(sandbox, job)
        return {**trainer.shown(sandbox, job), "status": "starting"}

    @routes.get("/trainings/{id}")
    async def get(id: str) -> dict[str, Any]:
        return trainer.shown(sandbox, _existing(sandbox, id))

    @routes.get("/trainings")
    async def list_page(cursor: str | None = None) -> dict[str, Any]:
        return listing(sandbox, "training", cursor, lag=sandbox.behaviour.list_lag_seconds)

    @routes.post("/trainings/{id}/cancel")
    async def cancel(id: str) -> dict[str, Any]:
        job = _existing(sandbox, id)
        trainer.cancel(sandbox, job)
        return trainer.shown(sandbox, job)

    return routes


def listing(sandbox: Sandbox, kind: str, cursor: str | None, *, lag: float = 0.0) -> dict[str, Any]:
    """One page, newest first, without logs; `next` is the address of the page that follows."""
    found = sandbox.store.newest(kind, limit=PAGE + 1, before=_position(cursor), created_by=time.time() - lag)
    page = found[:PAGE]
    after = base64.urlsafe_b64encode(f"before={page[-1][0]}".encode()).decode() if len(found) > PAGE else None
    base = f"{sandbox.settings.base_url}/replicate/v1/{kind}s"
    results = [public(sandbox, job, logs="") for _, job in page]
    for result in results:
        del result["logs"]
    return {"previous": None, "next": after and f"{base}?cursor={after}", "results": results}


def _position(cursor: str | None) -> int | None:
    if cursor is None:
        return None
    try:
        return int(base64.urlsafe_b64decode(cursor).decode().removeprefix("before="))
    except ValueError as error:
        raise Problem(400, "Bad request", "Invalid cursor") from error


def _trainer(owner: str, name: str, version: str) -> KnownModel:
    model = MODELS.get(f"{owner}/{name}")
    if model is None or version != model.version:
        detail = "The specified version does not exist (or perhaps you don't have permission to use it?)"
        raise Problem(422, "Invalid version or not permitted", detail)
    if model.tar_path is None:
        raise Problem(422, "Training not supported", "This model version does not support training")
    return model


def _new_job(sandbox: Sandbox, model: KnownModel, body: dict[str, Any], seconds: float) -> Document:
    destination = body.get("destination")
    if not isinstance(destination, str):
        raise invalid([("required", "destination", "destination is required")])
    given = body.get("input", {})
    values = validated(model.schema, given)
    if sandbox.store.get("model", destination) is None:
        raise Problem(404, "Not found", "The specified training destination does not exist")
    return {
        "kind": "training",
        "id": new_id(),
        "model": model.id,
        "version": model.version,
        "destination": destination,
        "input": {name: value for name, value in values.items() if value is not None},
        "created_at": time.time(),
        "seconds": seconds,
        "outcome": sandbox.behaviour.training_outcome,
        "failure": sandbox.behaviour.training_error,
        "lora_blocks": sandbox.behaviour.lora_blocks,
        "dataset": None,
        "status": "processing",
        "completed_at": None,
        "error": None,
        "output": None,
        "announced": False,
        **webhooks.subscription(body),
    }


def _seconds(sandbox: Sandbox, request: Request) -> float:
    """How long this training takes: the request's own header, else the setting."""
    own = request.headers.get(_DURATION_HEADER)
    if own is None:
        return sandbox.behaviour.training_seconds
    try:
        seconds = float(own)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 86_400:
        raise Problem(400, "Bad request", f"{_DURATION_HEADER} must be a number of seconds from 0 to 86400")
    return seconds


def _existing(sandbox: Sandbox, id: str) -> Document:
    job = sandbox.store.get("training", id)
    if job is None:
        raise not_found()
    return job
