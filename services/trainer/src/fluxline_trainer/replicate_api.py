"""Replicate's HTTP API through its official client, with its errors as ours.

Protocol: https://replicate.com/docs/reference/http. The client is used for its addresses and headers only: its
`Training` model loses facts, and its retries are turned off, since each failure has one owner here.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from pydantic import ValidationError
from replicate.client import Client

from fluxline.runtime.provider_calls import ProviderCalls, provider_call
from fluxline.runtime.redaction import redact_text
from fluxline_trainer.errors import AlreadyExists, AnswerUnreadable, NotFound, ProviderTimeout, ProviderUnreachable
from fluxline_trainer.provider import Order, ProviderRun
from fluxline_trainer.replicate_download import download
from fluxline_trainer.replicate_problems import problem_of

MAX_ANSWER_BYTES = 32 * 1024 * 1024
MAX_PAGES = 50
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)


class ReplicateApi:
    """Replicate for one API token. `timeout_s` bounds each call as a whole, `download_timeout_s` a download."""

    name = "replicate"

    def __init__(
        self,
        api_token: str,
        base_url: str,
        *,
        hardware: str,
        timeout_s: float = 30.0,
        download_timeout_s: float = 900.0,
        max_download_bytes: int = 4 * 1024**3,
        calls: ProviderCalls | None = None,
    ) -> None:
        self.calls = calls or ProviderCalls()
        # A mounted transport takes the place of the client's own, which repeats GETs for minutes.
        self._client = Client(
            api_token,
            base_url=base_url,
            timeout=httpx.Timeout(timeout_s, connect=5.0),
            mounts={"all://": httpx.AsyncHTTPTransport()},
        )
        self._base_url = base_url
        self._hardware = hardware
        self._timeout_s = timeout_s
        self._download_timeout_s = download_timeout_s
        self._max_download_bytes = max_download_bytes

    @property
    def _http(self) -> httpx.AsyncClient:
        http: httpx.AsyncClient = self._client._async_client
        return http

    async def close(self) -> None:
        """Let go of connections."""
        await self._http.aclose()

    @provider_call("account.get")
    async def account(self) -> str:
        """See Provider."""
        return _text(await self._call("GET", "/v1/account"), "username")

    @provider_call("models.create")
    async def ensure_destination(self, owner: str, name: str) -> bool:
        """See Provider; `hardware` is required and changed by Replicate to what the trained model needs."""
        body = {"owner": owner, "name": name, "visibility": "private", "hardware": self._hardware}
        try:
            await self._call("POST", "/v1/models", body)
        except AlreadyExists:
            return True
        return False

    @provider_call("models.delete")
    async def delete_model(self, model: str) -> None:
        """See Provider."""
        try:
            await self._call("DELETE", f"/v1/models/{model}")
        except NotFound:
            return

    @provider_call("models.get")
    async def latest_version(self, trainer: str) -> str:
        """See Provider."""
        model = await self._call("GET", f"/v1/models/{trainer}")
        return _text(model.get("latest_version"), "id")

    @provider_call("trainings.create")
    async def create(self, order: Order) -> ProviderRun:
        """See Provider."""
        body: dict[str, Any] = {"destination": order.destination, "input": dict(order.input)}
        if order.webhook_url:
            body |= {"webhook": order.webhook_url, "webhook_events_filter": ["start", "completed"]}
        return _run(await self._call("POST", f"/v1/models/{order.trainer}/versions/{order.version}/trainings", body))

    @provider_call("trainings.get", polls=True)
    async def get(self, run_id: str) -> ProviderRun:
        """See Provider."""
        return _run(await self._call("GET", f"/v1/trainings/{run_id}"))

    async def newest_first(self) -> AsyncIterator[ProviderRun]:
        """See Provider; a cursor that leaves the API's own address is not followed."""
        path: str | None = "/v1/trainings"
        for _ in range(MAX_PAGES):
            page = await self._page(path or "")
            results = page.get("results")
            if not isinstance(results, list):
                raise AnswerUnreadable("Replicate's list of trainings has no results.")
            for item in results:
                yield _run(item)
            query = urlsplit(str(page.get("next") or "")).query
            if not query:
                return
            path = f"/v1/trainings?{query}"

    @provider_call("trainings.list")
    async def _page(self, path: str) -> dict[str, Any]:
        return await self._call("GET", path)

    @provider_call("trainings.cancel")
    async def cancel(self, run_id: str) -> None:
        """See Provider."""
        await self._call("POST", f"/v1/trainings/{run_id}/cancel")

    @provider_call("weights.download")
    async def download(self, url: str, target: Path) -> None:
        """See Provider."""
        with _translated(self._download_timeout_s):
            async with asyncio.timeout(self._download_timeout_s):
                await download(self._http, url, target, base_url=self._base_url, max_bytes=self._max_download_bytes)

    def page_of(self, run_id: str) -> str:
        """See Provider."""
        return f"https://replicate.com/p/{run_id}"

    async def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """One request, sent once; its JSON object. Raises ProviderError by status code and exception type."""
        with _translated(self._timeout_s):
            async with (
                asyncio.timeout(self._timeout_s),
                self._http.stream(method, path, json=body) as response,
            ):
                content = await _bounded(response)
        if not response.is_success:
            raise problem_of(response, content)
        return _object(content) if response.status_code != httpx.codes.NO_CONTENT else {}


async def _bounded(response: httpx.Response) -> bytes:
    content = bytearray()
    async for chunk in response.aiter_bytes():
        content += chunk
        if len(content) > MAX_ANSWER_BYTES:
            raise AnswerUnreadable("Replicate's answer is far too long.", ambiguous=True)
    return bytes(content)


def _object(content: bytes) -> dict[str, Any]:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise AnswerUnreadable("Replicate's answer is no JSON.", ambiguous=True) from error
    if not isinstance(value, dict):
        raise AnswerUnreadable("Replicate's answer is no JSON object.", ambiguous=True)
    return value


def _run(value: Any) -> ProviderRun:
    try:
        run = ProviderRun.model_validate(value)
    except ValidationError as error:
        fields = sorted({str(item["loc"][0]) for item in error.errors(include_input=False) if item["loc"]})
        message = f"Replicate's training does not fit its API: {', '.join(fields)}"
        raise AnswerUnreadable(message, ambiguous=True) from error
    if redact_text(run.id) != run.id:
        raise AnswerUnreadable("Replicate's id of the training looks like a credential.", ambiguous=True)
    return run


def _text(value: Any, key: str) -> str:
    found = value.get(key) if isinstance(value, dict) else None
    if not isinstance(found, str) or not found or redact_text(found) != found:
        raise AnswerUnreadable(f"Replicate's answer has no usable {key}.")
    return found


@contextmanager
def _translated(timeout_s: float) -> Iterator[None]:
    """Errors of the connection as ours; what was never sent is no doubt."""
    try:
        yield
    except (TimeoutError, httpx.TimeoutException) as error:
        ambiguous = not isinstance(error, _NEVER_SENT)
        raise ProviderTimeout(f"Replicate did not answer within {timeout_s:g} s", ambiguous=ambiguous) from error
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
        ambiguous = not isinstance(error, _NEVER_SENT)
        message = f"Replicate cannot be reached ({type(error).__name__})"
        raise ProviderUnreachable(message, ambiguous=ambiguous) from error
