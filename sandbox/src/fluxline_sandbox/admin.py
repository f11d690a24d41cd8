"""What tests ask of the sandbox itself, under `/_sandbox`."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from fluxline_sandbox.behaviour import Behaviour
from fluxline_sandbox.faults import Fault
from fluxline_sandbox.huggingface.repos import summary
from fluxline_sandbox.sandbox import Sandbox


def router(sandbox: Sandbox) -> APIRouter:
    """Counts, calls, settings and faults."""
    routes = APIRouter(prefix="/_sandbox")

    @routes.get("/state")
    async def state() -> dict[str, Any]:
        """How often each effect happened, and the repositories with their files."""
        return {**sandbox.store.counts(), "repos": [summary(repo) for repo in sandbox.store.all("repo")]}

    @routes.delete("/state", status_code=204)
    async def reset() -> Response:
        """Start over: for suites that share one sandbox between tests."""
        await sandbox.reset()
        return Response(status_code=204)

    @routes.get("/log")
    async def log() -> list[dict[str, Any]]:
        return sandbox.calls.entries()

    @routes.get("/settings")
    async def settings() -> Behaviour:
        return sandbox.behaviour

    @routes.post("/settings")
    async def configure(changes: Annotated[dict[str, Any], Body()]) -> Behaviour:
        try:
            return sandbox.configure(changes)
        except ValidationError as error:
            raise RequestValidationError(error.errors(include_url=False, include_context=False)) from error

    @routes.get("/faults")
    async def faults() -> list[Fault]:
        return sandbox.faults.current()

    @routes.post("/faults")
    async def plan(faults: list[Fault] | Fault) -> list[Fault]:
        sandbox.faults.add(faults if isinstance(faults, list) else [faults])
        return sandbox.faults.current()

    @routes.delete("/faults", status_code=204)
    async def clear() -> Response:
        sandbox.faults.clear()
        return Response(status_code=204)

    return routes
