"""A client of the gateway's HTTP API. Every call may be repeated safely, and is while the gateway restarts."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from fluxline_cli.errors import Unreachable, problem_of

TIMEOUT = httpx.Timeout(30, connect=5)
UPLOAD_TIMEOUT = httpx.Timeout(120, connect=5)
ATTEMPTS = 6
LONGEST_PAUSE_S = 5.0
TERMINAL = frozenset({"completed", "failed", "canceled", "succeeded"})
Json = dict[str, Any]


class Client:
    """The API at `url`, as the holder of `api_key`. Raises ApiProblem and Unreachable."""

    def __init__(self, url: str, api_key: str, *, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self.url = url.rstrip("/")
        self.http = httpx.AsyncClient(
            base_url=self.url, headers={"Authorization": f"Bearer {api_key}"}, timeout=TIMEOUT, transport=transport
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.http.aclose()

    async def get(self, path: str, **parameters: Any) -> Json:
        """What is at `path`."""
        answer = await self.request("GET", path, params={k: v for k, v in parameters.items() if v is not None})
        body: Json = answer.json()
        return body

    async def upload(self, photo: Path) -> Json:
        """Upload one photo: `{accepted: [...], rejected: [{filename, code, reason}]}`."""
        content = await asyncio.to_thread(photo.read_bytes)
        files = {"files": (photo.name, content)}
        body: Json = (await self.request("POST", "/v1/images", files=files, timeout=UPLOAD_TIMEOUT)).json()
        return body

    async def create_training(self, body: Json) -> Json:
        """Ask for a training; asking again after a lost answer does not start a second one."""
        return await self._create("/v1/trainings", body)

    async def estimate(self, body: Json) -> Json:
        """What a training with this body would cost, and how long it would take."""
        found: Json = (await self.request("POST", "/v1/trainings/estimate", json=body)).json()
        return found

    async def create_generation(self, model_id: str, body: Json) -> Json:
        """Ask for images of a trained model."""
        return await self._create(f"/v1/models/{model_id}/generations", body)

    async def training(self, training_id: str) -> Json:
        """A training as it stands."""
        return await self.get(f"/v1/trainings/{training_id}")

    async def cancel_training(self, training_id: str) -> Json:
        """Ask for a training to be stopped; returns it."""
        return await self._act(training_id, "cancel")

    async def retry_training(self, training_id: str) -> Json:
        """Let a failed training go on; returns it. Asking again after a lost answer is the same retry."""
        return await self._act(training_id, "retry")

    async def delete_training(self, training_id: str, *, keep_repository: bool) -> bool:
        """Delete a training; True when it still runs, and is deleted once it has stopped."""
        parameters = {"keep_repository": str(keep_repository).lower()}
        answer = await self.request("DELETE", f"/v1/trainings/{training_id}", params=parameters)
        return answer.status_code == httpx.codes.ACCEPTED

    async def debug(self, training_id: str) -> Json:
        """The summary of a training: stages, errors, recent log, diagnosis."""
        return await self.get(f"/v1/trainings/{training_id}/debug")

    async def pages(self, path: str, limit: int, **parameters: Any) -> AsyncIterator[Json]:
        """The items of a list, at most `limit`."""
        cursor: str | None = None
        left = limit
        while left > 0:
            page = await self.get(path, limit=min(left, 100), cursor=cursor, **parameters)
            for item in page["items"]:
                yield item
            left -= len(page["items"])
            cursor = page.get("next_cursor")
            if not cursor:
                return

    async def download(self, url: str, target: Path) -> None:
        """Save a file of the API, or of the storage that it points to."""
        answer = await self.request("GET", url, follow_redirects=True)
        await asyncio.to_thread(target.write_bytes, answer.content)

    async def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """One call, repeated while nobody answers or the answer is 503."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                answer = await self.http.request(method, path, **options)
            except httpx.TransportError:
                if attempt == ATTEMPTS:
                    raise Unreachable(self.url) from None
            else:
                if answer.is_success:
                    return answer
                if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE or attempt == ATTEMPTS:
                    raise problem_of(answer)
            await asyncio.sleep(min(0.2 * 2**attempt, LONGEST_PAUSE_S))
        raise AssertionError("unreachable")

    async def _act(self, training_id: str, action: str) -> Json:
        headers = {"Idempotency-Key": str(uuid.uuid4())}
        training: Json = (await self.request("POST", f"/v1/trainings/{training_id}/{action}", headers=headers)).json()
        return training

    async def _create(self, path: str, body: Json) -> Json:
        answer = await self.request("POST", path, json=body, headers={"Idempotency-Key": str(uuid.uuid4())})
        created: Json = answer.json()
        return created


async def wait_until_ended(client: Client, path: str, *, poll_s: float = 0.3) -> Json:
    """What is at `path` once its status is a last one."""
    while True:
        found = await client.get(path)
        if found["status"] in TERMINAL:
            return found
        await asyncio.sleep(poll_s)
