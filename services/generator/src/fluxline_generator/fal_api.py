"""fal's queue by plain HTTP: its own client repeats submissions (https://docs.fal.ai/model-endpoints/queue)."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import httpx

from fluxline.runtime.provider_calls import ProviderCalls, provider_call
from fluxline.storage import Storage
from fluxline_generator.accounts import FAL
from fluxline_generator.errors import ContentRefused, ProviderRefused
from fluxline_generator.lora_links import take_loras
from fluxline_generator.orders import FLUX_DEV, LIMITS, Order, in_pixels
from fluxline_generator.predictions import Prediction
from fluxline_generator.prompts import Wanted
from fluxline_generator.refusals import connection_errors, refusal, unreadable
from fluxline_generator.result_files import fetch

LORA_MODEL: Final = "fal-ai/flux-lora"
BASE_MODEL: Final = "fal-ai/flux/dev"
CONNECT_TIMEOUT_S: Final = 10.0


class FalApi:
    """One account at fal; see Provider. A run's id is the path at which the queue knows it."""

    name = "fal"
    lists = False

    def __init__(
        self, key: str, base_url: str, storage: Storage, *, timeout_s: float, calls: ProviderCalls | None = None
    ) -> None:
        self.calls = calls or ProviderCalls()
        timeout = httpx.Timeout(timeout_s, connect=CONNECT_TIMEOUT_S)
        self._queue = httpx.AsyncClient(base_url=base_url, timeout=timeout, headers={"Authorization": f"Key {key}"})
        self._files = httpx.AsyncClient(timeout=timeout, follow_redirects=True)
        self._storage = storage
        self._timeout_s = timeout_s

    def order(self, wanted: Wanted) -> Order | None:
        """See Provider: the weights in our storage, or the base model where no LoRA is asked for."""
        if not LIMITS[self.name].allow(wanted) or (wanted.has_lora and wanted.weights_key is None):
            return None
        common = in_pixels(wanted) | {"num_inference_steps": wanted.steps, "num_images": wanted.num_outputs}
        if wanted.has_lora:
            return Order(LORA_MODEL, common | {"weights_key": wanted.weights_key, "lora_scale": wanted.lora_scale})
        return Order(BASE_MODEL, common) if wanted.base_model == FLUX_DEV else None

    @provider_call("generate")
    async def create(self, order: Order) -> Prediction:
        """See Provider. The link to the weights is signed now, and kept nowhere."""
        answer = await self._call("POST", f"/{order.target}", self._body(order))
        request_id = answer.get("request_id")
        if not isinstance(request_id, str) or not request_id.replace("-", "").isalnum():
            raise unreadable(FAL, "answer without a request id")
        application = "/".join(order.target.split("/")[:2])
        return _run(f"{application}/requests/{request_id}", "starting")

    @provider_call("predictions.get", polls=True)
    async def get(self, prediction_id: str) -> Prediction | None:
        """See Provider; a refusal of the content is told here, since the queue takes everything."""
        try:
            status = await self._call("GET", f"/{prediction_id}/status")
            if status.get("status") != "COMPLETED":
                return _run(prediction_id, "processing")
            answer = await self._call("GET", f"/{prediction_id}")
        except ProviderRefused as error:
            if error.context.get("status") == httpx.codes.NOT_FOUND:
                return None
            if error.context.get("status") == httpx.codes.BAD_REQUEST:  # completed, without a result
                return _run(prediction_id, "canceled", error=error.message)
            raise
        return _succeeded(prediction_id, status, answer)

    @provider_call("predictions.cancel")
    async def cancel(self, prediction_id: str) -> None:
        """See Provider; fal answers 400 for a run that has ended."""
        try:
            await self._call("PUT", f"/{prediction_id}/cancel")
        except ProviderRefused as error:
            if error.context.get("status") not in (httpx.codes.BAD_REQUEST, httpx.codes.NOT_FOUND):
                raise

    async def recent(self, since_s: float) -> AsyncIterator[Prediction]:
        """See Provider: fal has no list."""
        none: tuple[Prediction, ...] = ()
        for run in none:
            yield run

    @provider_call("result.download")
    async def download(self, url: str, target: Path) -> None:
        """See Provider."""
        await fetch(self._files, FAL, url, target, self._timeout_s)

    async def close(self) -> None:
        """Let go of the connections."""
        await self._queue.aclose()
        await self._files.aclose()

    def _body(self, order: Order) -> dict[str, Any]:
        body = dict(order.input)
        body["image_size"] = {"width": body.pop("width"), "height": body.pop("height")}
        if loras := take_loras(body, self._storage):
            body["loras"] = loras
        return body

    async def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        with connection_errors(FAL):
            async with asyncio.timeout(self._timeout_s):
                response = await self._queue.request(method, path, json=body)
            try:
                answer = response.json()
            except ValueError:
                if response.is_success:
                    raise
                answer = None
        if not response.is_success:
            raise refusal(FAL, response, answer)
        if not isinstance(answer, dict):
            raise unreadable(FAL, "answer")
        return answer


def _succeeded(prediction_id: str, status: dict[str, Any], answer: dict[str, Any]) -> Prediction:
    """The run with its images; raises ContentRefused for those that fal has blackened."""
    flagged, images, metrics = answer.get("has_nsfw_concepts"), answer.get("images"), status.get("metrics")
    if isinstance(flagged, list) and any(flagged):
        raise ContentRefused("fal's safety checker refused the result")
    links = [image.get("url") if isinstance(image, dict) else None for image in _list(images)]
    seconds = metrics.get("inference_time") if isinstance(metrics, dict) else None
    return _run(prediction_id, "succeeded", output=links, metrics={"predict_time": seconds})


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _run(prediction_id: str, status: str, **details: Any) -> Prediction:
    return Prediction.model_validate(
        {"id": prediction_id, "status": status, "created_at": datetime.now(UTC), **details}
    )
