"""What stands on every answer: its trace, how far the owner may go on, and what a browser must not do with it."""

import base64
import hashlib
import re
from collections.abc import Mapping
from typing import Final

from fastapi.openapi.docs import get_swagger_ui_html
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fluxline.runtime.envelope import current_trace
from fluxline_gateway.identity.rate_limits import Quota

DOCS_PATH: Final = "/docs"
NOTHING: Final = "default-src 'none'; frame-ancestors 'none'"
"""The content security policy of data: opened as a page, it may load and run nothing."""
_SAFE: Final[Mapping[str, str]] = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": NOTHING,
}
_TLS_ONLY: Final = "max-age=31536000"
_API: Final = "/v1/"
_SWAGGER: Final = "https://cdn.jsdelivr.net/npm/swagger-ui-dist@5/"
_ICON: Final = "https://fastapi.tiangolo.com"
_INLINE: Final = re.compile(rb"<script>(.*?)</script>", re.DOTALL)


class AnswerHeaders:
    """Adds headers to the start of every answer; those that a route has set itself stay, but for the trace."""

    def __init__(self, app: ASGIApp, *, tls: bool, docs_policy: str) -> None:
        """`tls`: clients reach the gateway by https and by nothing else; `docs_policy`: of the page /docs."""
        self.app = app
        self._always = dict(_SAFE) | ({"Strict-Transport-Security": _TLS_ONLY} if tls else {})
        self._docs = self._always | {"Content-Security-Policy": docs_policy}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, adding headers at the start of the answer."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        state = scope.setdefault("state", {})
        path: str = scope["path"]

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(current_trace())
                quota: Quota | None = state.get("quota")
                if quota is not None:
                    headers.update(quota.headers)
                for name, value in (self._docs if path == DOCS_PATH else self._always).items():
                    headers.setdefault(name, value)
                if path.startswith(_API):
                    headers.setdefault("Cache-Control", "no-store")
            await send(message)

        return await self.app(scope, receive, send_with_headers)


def docs_policy(openapi_url: str, title: str) -> str:
    """The content security policy with which FastAPI's page /docs works: its one inline script by its hash."""
    [script] = _INLINE.findall(bytes(get_swagger_ui_html(openapi_url=openapi_url, title=title).body))
    digest = base64.b64encode(hashlib.sha256(script).digest()).decode()
    return (
        f"default-src 'none'; script-src 'sha256-{digest}' {_SWAGGER}; style-src 'unsafe-inline' {_SWAGGER};"
        f" img-src 'self' data: {_ICON}; connect-src 'self';"
        " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
