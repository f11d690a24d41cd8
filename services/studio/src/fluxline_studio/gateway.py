"""The gateway's API with the caller's key on each request; what it refuses becomes a `GatewayProblem`."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx

from fluxline.runtime.envelope import current_trace

TIMEOUT = httpx.Timeout(30.0, connect=5.0)
STREAM_TIMEOUT = httpx.Timeout(45.0, connect=5.0)
"""The gateway's live streams say something every 15 s."""
LIMITS = httpx.Limits(max_connections=1000, max_keepalive_connections=50)


class GatewayProblem(Exception):
    """The gateway refused, or did not answer (status 503); its fields are those of a problem document."""

    def __init__(self, status: int, facts: Mapping[str, Any] | None = None) -> None:
        facts = facts or {}
        self.status = status
        self.title = str(facts.get("title") or f"Error {status}")
        self.detail = str(facts.get("detail") or "")
        self.hint = str(facts.get("hint") or "")
        self.category = str(facts.get("category") or "internal")
        self.errors: list[dict[str, Any]] = [item for item in facts.get("errors") or [] if isinstance(item, dict)]
        super().__init__(self.title)


class GatewayClient:
    """One pool of connections to one gateway. Every method raises GatewayProblem."""

    def __init__(self, url: str, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._http = httpx.AsyncClient(
            base_url=url, timeout=TIMEOUT, limits=LIMITS, transport=transport, trust_env=False
        )

    async def get(self, path: str, key: str, **params: Any) -> Any:
        """The JSON of a GET; parameters that are None or empty are left out."""
        wanted = {name: value for name, value in params.items() if value not in (None, "")}
        return (await self.call("GET", path, key, params=wanted)).json()

    async def post(self, path: str, key: str, json: Any = None) -> Any:
        """The JSON of a POST, None when the answer has none."""
        answer = await self.call("POST", path, key, json=json)
        return answer.json() if answer.content else None

    async def call(self, method: str, path: str, key: str, **request: Any) -> httpx.Response:
        """A whole answer of status below 400."""
        async with self.stream(method, path, key, **request) as answer:
            await answer.aread()
            return answer

    @asynccontextmanager
    async def stream(
        self, method: str, path: str, key: str, *, headers: Mapping[str, str] | None = None, **request: Any
    ) -> AsyncIterator[httpx.Response]:
        """An answer of status below 400 whose body is yet to be read."""
        sent = {"Accept": "application/json", **current_trace(), **(headers or {}), "Authorization": f"Bearer {key}"}
        try:
            async with self._http.stream(method, path, headers=sent, **request) as answer:
                if answer.is_error:
                    raise await _problem(answer)
                yield answer
        except httpx.HTTPError as error:
            raise unreachable() from error

    async def check(self) -> None:
        """Raises when the gateway is not ready."""
        (await self._http.get("/readyz", timeout=1.5)).raise_for_status()

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()


def unreachable() -> GatewayProblem:
    """The problem of a gateway that does not answer."""
    return GatewayProblem(
        503,
        {
            "title": "The gateway does not answer",
            "detail": "Nothing is lost: trainings go on without this page.",
            "hint": "Try again in a moment.",
            "category": "network",
        },
    )


async def _problem(answer: httpx.Response) -> GatewayProblem:
    await answer.aread()
    try:
        facts = answer.json()
    except ValueError:
        facts = None
    return GatewayProblem(answer.status_code, facts if isinstance(facts, dict) else None)
