"""Composition root: settings to one FastAPI application with every provider on it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from fastapi import FastAPI

from fluxline_sandbox import admin
from fluxline_sandbox.fal import api as fal
from fluxline_sandbox.huggingface import api as huggingface
from fluxline_sandbox.interference import Interference
from fluxline_sandbox.replicate import api as replicate
from fluxline_sandbox.sandbox import Sandbox
from fluxline_sandbox.settings import Settings
from fluxline_sandbox.subjects import subject_of
from fluxline_sandbox.together import api as together


def create_app(settings: Settings) -> FastAPI:
    """The whole sandbox; unfinished trainings go on when it starts."""
    sandbox = Sandbox(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        replicate.resume(sandbox)
        yield
        await sandbox.close()

    app = FastAPI(title="fluxline sandbox", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.sandbox = sandbox
    subject = partial(subject_of, sandbox.store)
    app.add_middleware(Interference, plan=sandbox.faults, calls=sandbox.calls, subject=subject)

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    app.include_router(admin.router(sandbox))
    for provider in (replicate, huggingface, together, fal):
        provider.install(app, sandbox)
    return app
