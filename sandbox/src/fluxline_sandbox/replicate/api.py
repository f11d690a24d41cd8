"""Replicate's HTTP API, mounted under `/replicate`; every call under `/v1` needs the token."""

import secrets

from fastapi import APIRouter, Depends, FastAPI, Request

from fluxline_sandbox.replicate import delivery, models, painter, predictions, trainer, trainings
from fluxline_sandbox.replicate.problems import Problem, answer, unauthenticated
from fluxline_sandbox.sandbox import Sandbox


def install(app: FastAPI, sandbox: Sandbox) -> None:
    """Add the routes and the error answers."""
    token = sandbox.settings.replicate_api_token.get_secret_value()

    def authenticate(request: Request) -> None:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        known = scheme.lower() in ("bearer", "token") and secrets.compare_digest(given.encode(), token.encode())
        if not known:
            raise unauthenticated(bool(given))

    api = APIRouter(prefix="/replicate/v1", dependencies=[Depends(authenticate)])
    for routes in (
        models.router(sandbox),
        trainings.router(sandbox),
        predictions.router(sandbox),
    ):
        api.include_router(routes)
    app.include_router(api)
    app.include_router(delivery.router(sandbox))
    app.exception_handler(Problem)(answer)


def resume(sandbox: Sandbox) -> None:
    """Go on with every training and prediction that had not ended when the process did."""
    for job in sandbox.store.all("training"):
        trainer.start(sandbox, job)
    for job in sandbox.store.all("prediction"):
        painter.start(sandbox, job)
