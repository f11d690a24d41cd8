"""Signing in and out, and the theme."""

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from fluxline_studio import texts
from fluxline_studio.deps import Parts, Studio, render
from fluxline_studio.forms import form_of
from fluxline_studio.gateway import GatewayProblem
from fluxline_studio.sessions import Session

router = APIRouter()


@router.get("/sign-in")
async def sign_in_page(request: Request, next: str = "/") -> Response:
    """The form."""
    return render(request, "sign_in.html", next=own_path(next), error=None)


@router.post("/sign-in")
async def sign_in(request: Request, studio: Parts) -> Response:
    """Ask the gateway whom the key speaks for, and seal the answer into the cookie."""
    form = await form_of(request)
    key, after = form.get("key", "").strip(), own_path(form.get("next", "/"))
    session = await session_of(studio, key, refused=texts.sign_in.refused) if key else texts.sign_in.empty
    if isinstance(session, str):
        return render(request, "sign_in.html", status_code=422, next=after, error=session)
    answer = RedirectResponse(after, 303)
    studio.sessions.write(answer, session)
    return answer


@router.post("/sign-out")
async def sign_out(studio: Parts) -> Response:
    """Forget the session."""
    answer = RedirectResponse("/sign-in", 303)
    studio.sessions.end(answer)
    return answer


@router.post("/theme")
async def choose_theme(request: Request, studio: Parts) -> Response:
    """Light, dark or the system's choice; then back to the page."""
    form = await form_of(request)
    answer = RedirectResponse(own_path(form.get("next", "/")), 303)
    theme = form.get("theme")
    studio.sessions.write_theme(answer, "light" if theme == "light" else "dark" if theme == "dark" else "auto")
    return answer


async def session_of(studio: Studio, key: str, *, refused: str) -> Session | str:
    """The session of a key or token that the gateway takes, or what is wrong with it."""
    if not key.isascii() or not key.isprintable():
        return refused
    try:
        account = await studio.gateway.get("/v1/me", key)
    except GatewayProblem as problem:
        return refused if problem.status in (401, 403) else f"{problem.title}. {problem.hint}"
    return Session(owner=account["owner"], key=key, scopes=tuple(account["scopes"]))


def own_path(path: str) -> str:
    """The path if it leads to a page of the studio, else `/`: nobody is sent elsewhere."""
    unsafe = not path.startswith("/") or path.startswith("//") or "\\" in path or not path.isprintable()
    return "/" if unsafe else path
