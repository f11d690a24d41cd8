"""One router per page; `ROUTERS` is all of them."""

from typing import Final

from fastapi import APIRouter

from fluxline_studio.pages import (
    account,
    generate,
    history,
    job,
    models,
    offline,
    oidc,
    operations,
    passthrough,
    sign_in,
    wizard,
)

ROUTERS: Final[tuple[APIRouter, ...]] = (
    sign_in.router,
    oidc.router,
    history.router,
    job.router,
    models.router,
    generate.router,
    account.router,
    operations.router,
    offline.router,
    passthrough.router,
    wizard.router,
)
