"""Who is signed in: one encrypted cookie that every replica with the same secret can read."""

import base64
from typing import Literal

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from fastapi import Request, Response
from pydantic import BaseModel, ValidationError

from fluxline_studio.oidc import Flow

COOKIE = "fluxline_session"
FLOW_COOKIE, FLOW_PATH, FLOW_AGE_S = "fluxline_sign_in", "/sign-in/oidc", 600
THEME_COOKIE = "fluxline_theme"
Theme = Literal["auto", "light", "dark"]


class Session(BaseModel):
    """What the cookie holds; `key` is sent to the gateway and shown nowhere."""

    owner: str
    key: str
    scopes: tuple[str, ...] = ()

    @property
    def is_admin(self) -> bool:
        """Whether the key may see everybody's affairs."""
        return "admin" in self.scopes


class Sessions:
    """Seals sessions into cookies and opens them again."""

    def __init__(self, secret: str, *, hours: float, secure: bool) -> None:
        derived = HKDF(SHA256(), 32, salt=None, info=b"fluxline studio session").derive(secret.encode())
        self._fernet = Fernet(base64.urlsafe_b64encode(derived))
        self._age_s = int(hours * 3600)
        self._secure = secure

    def read(self, request: Request) -> Session | None:
        """The request's session; None when it has none that is whole and young enough."""
        try:
            opened = self._fernet.decrypt(request.cookies.get(COOKIE, "").encode(), ttl=self._age_s)
            return Session.model_validate_json(opened)
        except (InvalidToken, ValidationError):
            return None

    def write(self, response: Response, session: Session) -> None:
        """Send the session to the browser."""
        sealed = self._fernet.encrypt(session.model_dump_json().encode()).decode()
        response.set_cookie(
            COOKIE, sealed, max_age=self._age_s, httponly=True, samesite="lax", secure=self._secure, path="/"
        )

    def end(self, response: Response) -> None:
        """Make the browser forget the session."""
        response.delete_cookie(COOKIE, path="/", httponly=True, samesite="lax", secure=self._secure)

    def read_flow(self, request: Request) -> Flow | None:
        """The sign-in with an issuer that this browser has begun in the last ten minutes."""
        try:
            opened = self._fernet.decrypt(request.cookies.get(FLOW_COOKIE, "").encode(), ttl=FLOW_AGE_S)
            return Flow.model_validate_json(opened)
        except (InvalidToken, ValidationError):
            return None

    def write_flow(self, response: Response, flow: Flow) -> None:
        """Keep a begun sign-in in the browser."""
        sealed = self._fernet.encrypt(flow.model_dump_json().encode()).decode()
        response.set_cookie(
            FLOW_COOKIE, sealed, max_age=FLOW_AGE_S, httponly=True, samesite="lax", secure=self._secure, path=FLOW_PATH
        )

    def end_flow(self, response: Response) -> None:
        """Make the browser forget a begun sign-in: it is good for one try."""
        response.delete_cookie(FLOW_COOKIE, path=FLOW_PATH, httponly=True, samesite="lax", secure=self._secure)

    def write_theme(self, response: Response, theme: Theme) -> None:
        """Remember light, dark or the system's choice for a year."""
        response.set_cookie(THEME_COOKIE, theme, max_age=31_536_000, samesite="lax", secure=self._secure, path="/")


def theme_of(request: Request) -> Theme:
    """The chosen theme; the system's unless one was chosen."""
    chosen = request.cookies.get(THEME_COOKIE)
    return chosen if chosen in ("light", "dark") else "auto"  # type: ignore[return-value]
