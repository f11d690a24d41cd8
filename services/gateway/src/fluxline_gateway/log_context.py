"""What is logged while a request is answered says which training or generation its path is about."""

import re
from typing import Final
from uuid import UUID

from starlette.types import ASGIApp, Receive, Scope, Send
from structlog.contextvars import bound_contextvars

_ABOUT: Final = re.compile(r"/v1/(training|generation)s/([0-9a-fA-F-]{36})(?:/|$)")


class LogContext:
    """Binds the id in the request's path for every line that is logged meanwhile."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on."""
        with bound_contextvars(**(ids_in(scope["path"]) if scope["type"] == "http" else {})):
            await self.app(scope, receive, send)


def ids_in(path: str) -> dict[str, str]:
    """`training_id` or `generation_id`, where the path has one."""
    if (found := _ABOUT.match(path)) is None:
        return {}
    try:
        return {f"{found[1]}_id": str(UUID(found[2]))}
    except ValueError:
        return {}
