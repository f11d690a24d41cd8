"""Replicate's predictions through its official client (1.0.7); its repetitions of reads are turned off.

The client's `_async_request` is used for its raw answers: its models lose fields and refuse the status `aborted`.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
from pydantic import ValidationError
from replicate.client import Client

from fluxline.runtime.provider_calls import ProviderCalls, provider_call
from fluxline_generator.accounts import REPLICATE
from fluxline_generator.errors import ProviderError, ProviderRefused
from fluxline_generator.orders import FLUX_DEV, LIMITS, Order
from fluxline_generator.predictions import Prediction
from fluxline_generator.prompts import Wanted
from fluxline_generator.refusals import connection_errors, refusal, unreadable
from fluxline_generator.result_files import fetch

CONNECT_TIMEOUT_S: Final = 10.0
MAX_PAGES: Final = 50
BASE_MODEL: Final = "black-forest-labs/flux-dev"
_HOSTS: Final = ("replicate.com", "replicate.delivery")


class ReplicateApi:
    """One account at Replicate; see Provider."""

    name = "replicate"
    lists = True

    def __init__(self, token: str, base_url: str, *, timeout_s: float, calls: ProviderCalls | None = None) -> None:
        self.calls = calls or ProviderCalls()
        timeout = httpx.Timeout(timeout_s, connect=CONNECT_TIMEOUT_S)
        self._transport = httpx.AsyncHTTPTransport()
        # A mounted transport takes the place of the client's own, which repeats reads until our deadline hides why.
        self._client = Client(
            api_token=token,
            base_url=base_url,
            timeout=timeout,
            mounts={"all://": self._transport},
            event_hooks={"response": [_raise_refusal]},
        )
        self._files = httpx.AsyncClient(timeout=timeout, follow_redirects=True)
        self._authorization = {"Authorization": f"Bearer {token}"}
        self._base_url = base_url
        self._timeout_s = timeout_s

    def order(self, wanted: Wanted) -> Order | None:
        """See Provider: the trained version, or the base model where no LoRA is asked for."""
        return order_of(wanted)

    @provider_call("generate")
    async def create(self, order: Order) -> Prediction:
        """See Provider."""
        if order.target == BASE_MODEL:
            return _read(await self._call("POST", f"/v1/models/{order.target}/predictions", {"input": order.input}))
        return _read(await self._call("POST", "/v1/predictions", {"version": order.target, "input": order.input}))

    @provider_call("predictions.get", polls=True)
    async def get(self, prediction_id: str) -> Prediction | None:
        """See Provider."""
        try:
            return _read(await self._call("GET", f"/v1/predictions/{prediction_id}"))
        except ProviderRefused as error:
            if error.context.get("status") == httpx.codes.NOT_FOUND:
                return None
            raise

    @provider_call("predictions.cancel")
    async def cancel(self, prediction_id: str) -> None:
        """See Provider."""
        try:
            await self._call("POST", f"/v1/predictions/{prediction_id}/cancel")
        except ProviderRefused as error:
            if error.context.get("status") != httpx.codes.NOT_FOUND:
                raise

    async def recent(self, since_s: float) -> AsyncIterator[Prediction]:
        """See Provider; pages of a hundred, newest first."""
        url: str | None = "/v1/predictions"
        for _ in range(MAX_PAGES):
            page = await self._page(str(url))
            for item in page.get("results") or ():
                prediction = _read(item)
                if prediction.created_at.timestamp() < since_s:
                    return
                yield prediction
            url = page.get("next")
            if not url:
                return
            if not url.startswith(self._base_url):  # the token goes nowhere else
                raise ProviderError("Replicate's list continues at an address that is not Replicate's")
        raise ProviderError(f"Replicate lists more than {MAX_PAGES} pages of predictions since the submission")

    @provider_call("predictions.list")
    async def _page(self, url: str) -> dict[str, Any]:
        return await self._call("GET", url)

    @provider_call("result.download")
    async def download(self, url: str, target: Path) -> None:
        """See Provider. The token is sent to Replicate's own hosts only."""
        await fetch(self._files, REPLICATE, url, target, self._timeout_s, self._headers_for(url))

    async def close(self) -> None:
        """Let go of the connections."""
        await self._files.aclose()
        await self._transport.aclose()

    async def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        with connection_errors(REPLICATE):
            async with asyncio.timeout(self._timeout_s):
                response = await self._client._async_request(method, path, json=body)
            answer = response.json()
        if not isinstance(answer, dict):
            raise unreadable(REPLICATE, "answer")
        return answer

    def _headers_for(self, url: str) -> dict[str, str]:
        parts = urlsplit(url)
        own = (parts.scheme, parts.netloc) == urlsplit(self._base_url)[:2]
        hosts = parts.scheme == "https" and f".{parts.hostname}".endswith(tuple(f".{host}" for host in _HOSTS))
        return self._authorization if own or hosts else {}


def order_of(wanted: Wanted) -> Order | None:
    """The trained version's input, or the base model's; None for a LoRA that Replicate has not trained."""
    if not LIMITS["replicate"].allow(wanted):
        return None
    common = {
        "prompt": wanted.prompt,
        "aspect_ratio": wanted.aspect_ratio,
        "num_outputs": wanted.num_outputs,
        "num_inference_steps": wanted.steps,
        "output_format": wanted.output_format,
        "seed": wanted.seed,
    }
    if not wanted.has_lora:
        return Order(BASE_MODEL, {"guidance": wanted.guidance, **common}) if wanted.base_model == FLUX_DEV else None
    if wanted.version is None:
        return None
    lora = {"model": "dev", "lora_scale": wanted.lora_scale, "guidance_scale": wanted.guidance}
    return Order(wanted.version, {**lora, **common})


def _read(answer: dict[str, Any]) -> Prediction:
    try:
        return Prediction.model_validate(answer)
    except ValidationError as error:
        raise unreadable(REPLICATE, "prediction") from error


async def _raise_refusal(response: httpx.Response) -> None:
    """A response hook: 4xx and 5xx as ours, while the answer's headers are still at hand."""
    if response.status_code < httpx.codes.BAD_REQUEST:
        return
    await response.aread()
    try:
        problem = response.json()
    except ValueError:
        problem = {}
    raise refusal(REPLICATE, response, problem if isinstance(problem, dict) else {}, doubtful=True)
