"""One router per page; `ROUTERS` is all of them."""

from typing import Final

from fastapi import APIRouter

from fluxline_studio.pages import history, job, passthrough, sign_in

ROUTERS: Final[tuple[APIRouter, ...]] = (
    sign_in.router,
    history.router,
    job.router,
    passthrough.router,
)
