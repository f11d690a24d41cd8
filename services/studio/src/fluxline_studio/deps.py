"""What pages are given: the studio's parts, and who is signed in."""

from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import Depends, Request, Response
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from fluxline_studio import phrasing, texts
from fluxline_studio.assets import Assets
from fluxline_studio.draining import LiveStreams
from fluxline_studio.event_phrases import said
from fluxline_studio.gateway import GatewayClient
from fluxline_studio.oidc import Oidc
from fluxline_studio.sessions import Session, Sessions, theme_of
from fluxline_studio.settings import StudioSettings


@dataclass(frozen=True)
class Studio:
    """One studio process: `app.state.studio`."""

    settings: StudioSettings
    gateway: GatewayClient
    sessions: Sessions
    assets: Assets
    templates: Environment
    streams: LiveStreams
    oidc: Oidc | None


class SignInNeeded(Exception):
    """Nobody is signed in."""

    def __init__(self, next_path: str) -> None:
        self.location = f"/sign-in?next={quote(next_path, safe='')}"
        super().__init__(self.location)


def studio_of(request: Request) -> Studio:
    """The process's parts."""
    studio: Studio = request.app.state.studio
    return studio


def signed_in(request: Request) -> Session:
    """The session; raises SignInNeeded."""
    session = studio_of(request).sessions.read(request)
    if session is None:
        here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        raise SignInNeeded(here if request.method == "GET" else "/")
    return session


Parts = Annotated[Studio, Depends(studio_of)]
SignedIn = Annotated[Session, Depends(signed_in)]


def make_templates(assets: Assets) -> Environment:
    """The templates, with autoescape, texts as `t`, and the filters of `phrasing`."""
    environment = Environment(
        loader=FileSystemLoader(texts.FOLDER),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(static=assets.url, t=texts)
    environment.filters.update(phrasing.FILTERS, said=said)
    return environment


def render(request: Request, template: str, *, status_code: int = 200, **context: Any) -> Response:
    """A page from a template, which also knows `session`, `theme`, and `path`."""
    studio = studio_of(request)
    shared = {
        "session": studio.sessions.read(request),
        "theme": theme_of(request),
        "path": request.url.path,
        "has_issuer": studio.oidc is not None,
    }
    return HTMLResponse(studio.templates.get_template(template).render(shared | context), status_code)
