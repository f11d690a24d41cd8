"""Signing in with the issuer of the settings, if there is one: away to it, and back."""

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from fluxline_studio import texts
from fluxline_studio.deps import Parts, Studio, render
from fluxline_studio.oidc import OidcProblem
from fluxline_studio.pages.sign_in import own_path, session_of
from fluxline_studio.settings import CALLBACK

router = APIRouter()


@router.get("/sign-in/oidc")
async def leave(request: Request, studio: Parts, next: str = "/") -> Response:
    """To the issuer."""
    if studio.oidc is None:
        return RedirectResponse("/sign-in", 303)
    try:
        address, flow = await studio.oidc.begin(own_path(next))
    except OidcProblem as problem:
        return _refused(request, studio, str(problem))
    answer = RedirectResponse(address, 303)
    studio.sessions.write_flow(answer, flow)
    return answer


@router.get(CALLBACK)
async def come_back(
    request: Request, studio: Parts, state: str = "", code: str = "", iss: str = "", error: str = ""
) -> Response:
    """From the issuer, with a code for a token."""
    flow = studio.sessions.read_flow(request)
    if studio.oidc is None or flow is None or error:
        return _refused(request, studio, texts.sign_in.not_begun if flow is None else texts.sign_in.issuer_refused)
    try:
        token = await studio.oidc.finish(flow, state=state, code=code, issuer=iss)
    except OidcProblem as problem:
        return _refused(request, studio, str(problem))
    session = await session_of(studio, token, refused=texts.sign_in.not_accepted)
    if isinstance(session, str):
        return _refused(request, studio, session)
    answer = RedirectResponse(own_path(flow.next), 303)
    studio.sessions.write(answer, session)
    studio.sessions.end_flow(answer)
    return answer


def _refused(request: Request, studio: Studio, error: str) -> Response:
    answer = render(request, "sign_in.html", status_code=422, next="/", error=None, issuer_error=error)
    studio.sessions.end_flow(answer)
    return answer
