"""fal's queue, mounted under `/fal`: submit, status, result, cancel (https://docs.fal.ai/model-endpoints/queue).

A request is taken without a look at its input; what is wrong with that is told where the result is asked for.
"""

import secrets
import time
import uuid
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import FileResponse, JSONResponse

from fluxline_sandbox.fal import runner
from fluxline_sandbox.fal.request import FalError, address_of, json_object
from fluxline_sandbox.pictures import MEDIA_TYPES
from fluxline_sandbox.sandbox import Sandbox
from fluxline_sandbox.store import Document

KIND = "fal"
_QUEUED_SHARE = 0.3


def install(app: FastAPI, sandbox: Sandbox) -> None:
    """Add the routes and the error answers."""
    app.include_router(_files(sandbox))
    app.include_router(router(sandbox), prefix="/fal")
    app.exception_handler(FalError)(_answer)


def router(sandbox: Sandbox) -> APIRouter:
    """`POST /{model}` and `/{application}/requests/{id}[/status|/cancel]`."""
    routes = APIRouter()

    @routes.get("/{namespace}/{name}/requests/{id}/status")
    async def status(request: Request, id: str) -> Response:
        _authenticate(sandbox, request)
        job = _existing(sandbox, id)
        state = state_of(job)
        body: dict[str, Any] = {"status": state, **_urls(sandbox, job)}
        if state == "IN_QUEUE":
            body["queue_position"] = 0
        if state == "COMPLETED":
            body["metrics"] = {"inference_time": job["seconds"] * (1 - _QUEUED_SHARE)}
        return JSONResponse(body, 200 if state == "COMPLETED" else 202)

    @routes.get("/{namespace}/{name}/requests/{id}")
    async def result(request: Request, id: str) -> dict[str, Any]:
        _authenticate(sandbox, request)
        job = _existing(sandbox, id)
        if job["canceled"]:
            raise FalError(400, "Request was cancelled")
        if state_of(job) != "COMPLETED":
            raise FalError(400, "Request is still in progress")
        if job["result"] is None:
            job["result"] = await runner.run(sandbox, job)
            sandbox.store.put(KIND, id, job)
        if job["result"]["status"] != 200:
            raise FalError(job["result"]["status"], job["result"]["body"])
        return dict(job["result"]["body"])

    @routes.put("/{namespace}/{name}/requests/{id}/cancel")
    async def cancel(request: Request, id: str) -> Response:
        _authenticate(sandbox, request)
        job = _existing(sandbox, id)
        if state_of(job) == "COMPLETED":
            return JSONResponse({"status": "ALREADY_COMPLETED"}, 400)
        job["canceled"] = True
        sandbox.store.put(KIND, id, job)
        sandbox.store.increment("cancels")
        return JSONResponse({"status": "CANCELLATION_REQUESTED"}, 202)

    @routes.post("/{path:path}")
    async def submit(request: Request, path: str) -> dict[str, Any]:
        _authenticate(sandbox, request)
        address = address_of(path)
        job: Document = {
            "id": str(uuid.uuid4()),
            "model": address.model,
            "application": address.application,
            "input": await json_object(request),
            "created_at": time.time(),
            "seconds": sandbox.behaviour.generation_seconds,
            "canceled": False,
            "result": None,
        }
        sandbox.store.put(KIND, job["id"], job)
        sandbox.store.increment("generations")
        return {"status": "IN_QUEUE", "request_id": job["id"], "queue_position": 0, **_urls(sandbox, job)}

    return routes


def state_of(job: Document) -> str:
    """IN_QUEUE, IN_PROGRESS or COMPLETED, told from the clock; a canceled request is completed."""
    age = time.time() - job["created_at"]
    if job["canceled"] or age >= job["seconds"]:
        return "COMPLETED"
    return "IN_QUEUE" if age < job["seconds"] * _QUEUED_SHARE else "IN_PROGRESS"


def _urls(sandbox: Sandbox, job: Document) -> dict[str, str]:
    base = f"{sandbox.settings.base_url}/fal/{job['application']}/requests/{job['id']}"
    return {"response_url": base, "status_url": f"{base}/status", "cancel_url": f"{base}/cancel"}


def _authenticate(sandbox: Sandbox, request: Request) -> None:
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    expected = sandbox.settings.fal_key.get_secret_value()
    if scheme.lower() != "key" or not secrets.compare_digest(given.encode(), expected.encode()):
        raise FalError(401, "Authentication is required to access this application.")


def _existing(sandbox: Sandbox, id: str) -> Document:
    job = sandbox.store.get(KIND, id)
    if job is None:
        raise FalError(404, "Request not found")
    return job


def _files(sandbox: Sandbox) -> APIRouter:
    routes = APIRouter()

    @routes.api_route("/fal/files/{name}", methods=["GET", "HEAD"])
    async def file(name: str) -> Response:
        folder = sandbox.store.folder(runner.FOLDER).resolve()
        path = (folder / name).resolve()
        if path.parent != folder or not path.is_file():
            return Response(status_code=404)
        return FileResponse(path, media_type=MEDIA_TYPES[path.suffix[1:]])

    return routes


async def _answer(_: Request, error: FalError) -> Response:
    return JSONResponse({"detail": error.detail}, error.status)
