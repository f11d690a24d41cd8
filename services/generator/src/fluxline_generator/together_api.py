"""Together's images through its official client, whose repetitions of the paid call are turned off.

Together answers with the images at once: there is no run to look up, to list or to cancel.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import httpx
from together import APIConnectionError, APIStatusError, AsyncTogether

from fluxline.runtime.provider_calls import ProviderCalls, provider_call
from fluxline.storage import Storage
from fluxline_generator.accounts import TOGETHER
from fluxline_generator.lora_links import take_loras
from fluxline_generator.orders import FLUX_DEV, LIMITS, Order, in_pixels
from fluxline_generator.predictions import Prediction
from fluxline_generator.prompts import Wanted
from fluxline_generator.refusals import connection_error, refusal, unreadable
from fluxline_generator.result_files import fetch

CONNECT_TIMEOUT_S: Final = 10.0


class TogetherApi:
    """One account at Together; see Provider. `model` is its FLUX.1-dev, `lora_model` one that takes LoRAs, if any.

    `timeout_s` is how long the images may take: they come with the answer.
    """

    name = "together"
    lists = False

    def __init__(
        self,
        key: str,
        base_url: str,
        storage: Storage,
        *,
        timeout_s: float,
        model: str,
        lora_model: str | None = None,
        calls: ProviderCalls | None = None,
    ) -> None:
        self.calls = calls or ProviderCalls()
        timeout = httpx.Timeout(timeout_s, connect=CONNECT_TIMEOUT_S)
        self._client = AsyncTogether(api_key=key, base_url=base_url, timeout=timeout, max_retries=0)
        self._files = httpx.AsyncClient(timeout=timeout, follow_redirects=True)
        self._storage = storage
        self._timeout_s = timeout_s
        self._model = model
        self._lora_model = lora_model

    def order(self, wanted: Wanted) -> Order | None:
        """See Provider: the base model, or the weights in our storage where a model that takes them is configured."""
        if not LIMITS[self.name].allow(wanted) or wanted.base_model != FLUX_DEV:
            return None
        common = in_pixels(wanted) | {"steps": wanted.steps, "n": wanted.num_outputs}
        if not wanted.has_lora:
            return Order(self._model, common)
        if self._lora_model is None or wanted.weights_key is None:
            return None
        return Order(self._lora_model, common | {"weights_key": wanted.weights_key, "lora_scale": wanted.lora_scale})

    @provider_call("generate")
    async def create(self, order: Order) -> Prediction:
        """See Provider; the run has ended. The link to the weights is signed now, and kept nowhere."""
        try:
            async with asyncio.timeout(self._timeout_s):
                response = await self._client.images.with_raw_response.generate(**self._body(order))
                answer = await response.json()
        except APIStatusError as error:
            raise refusal(TOGETHER, error.response, error.body) from error
        except APIConnectionError as error:
            raise connection_error(TOGETHER, _cause(error)) from error
        except (httpx.HTTPError, TimeoutError, ValueError) as error:
            raise connection_error(TOGETHER, error) from error
        return _run(answer)

    async def get(self, prediction_id: str) -> Prediction | None:
        """See Provider: Together keeps no runs."""
        return None

    async def cancel(self, prediction_id: str) -> None:
        """See Provider: what has an id has ended."""

    async def recent(self, since_s: float) -> AsyncIterator[Prediction]:
        """See Provider: Together has no list."""
        none: tuple[Prediction, ...] = ()
        for run in none:
            yield run

    @provider_call("result.download")
    async def download(self, url: str, target: Path) -> None:
        """See Provider."""
        await fetch(self._files, TOGETHER, url, target, self._timeout_s)

    async def close(self) -> None:
        """Let go of the connections."""
        await self._client.close()
        await self._files.aclose()

    def _body(self, order: Order) -> dict[str, Any]:
        body = order.input | {"model": order.target, "response_format": "url"}
        if loras := take_loras(body, self._storage):
            body["image_loras"] = loras
        return body


def _cause(error: APIConnectionError) -> Exception:
    """What httpx said: it tells whether the request has left."""
    return error.__cause__ if isinstance(error.__cause__, Exception) else httpx.ReadError(str(error))


def _run(answer: Any) -> Prediction:
    """The ended run; an answer without an id or images is one that cannot be read."""
    try:
        links = [item["url"] for item in sorted(answer["data"], key=lambda item: item["index"])]
        return Prediction.model_validate(
            {"id": answer["id"], "status": "succeeded", "created_at": datetime.now(UTC), "output": links}
        )
    except (KeyError, TypeError, ValueError) as error:
        raise unreadable(TOGETHER, "answer") from error
