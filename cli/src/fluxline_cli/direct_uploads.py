"""Photos sent straight to the storage, by links that the gateway gives; repeating sends only what is missing."""

import asyncio
import hashlib
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import httpx

from fluxline_cli.client import Client, Json
from fluxline_cli.errors import ApiProblem, Usage

FILES_AT_ONCE = 3
MAX_FILES = 50
CHUNK_BYTES = 256 * 1024
ATTEMPTS = 4
BUSY = frozenset({408, 429, 500, 502, 503, 504})
TIMEOUT = httpx.Timeout(120, connect=10)


async def upload_directly(client: Client, paths: list[Path]) -> Json:
    """Upload the files; returns the verdicts as `{accepted, rejected}`. Raises Usage when the storage refuses."""
    verdicts: Json = {"accepted": [], "rejected": []}
    for start in range(0, len(paths), MAX_FILES):
        answer = await _upload(client, paths[start : start + MAX_FILES])
        for kind, found in verdicts.items():
            found += answer[kind]
    return verdicts


async def _upload(client: Client, paths: list[Path]) -> Json:
    files = [await asyncio.to_thread(_announced, path) for path in paths]
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    upload: Json = (await client.request("POST", "/v1/images/uploads", json={"files": files}, headers=headers)).json()
    slots = asyncio.Semaphore(FILES_AT_ONCE)
    wanted = [(path, file) for path, file in zip(paths, upload["files"], strict=True) if file["url"]]
    async with httpx.AsyncClient(timeout=TIMEOUT) as storage:
        await asyncio.gather(*(_send(storage, path, file, slots) for path, file in wanted))
    return await _completed(client, upload["id"])


async def _completed(client: Client, upload_id: str) -> Json:
    """The verdicts; somebody else who is completing the same upload is waited for."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            verdicts: Json = (await client.request("POST", f"/v1/images/uploads/{upload_id}/complete")).json()
            return verdicts
        except ApiProblem as problem:
            if problem.status != httpx.codes.CONFLICT or attempt == ATTEMPTS:
                raise
        await asyncio.sleep(2**attempt)
    raise AssertionError("unreachable")


def _announced(path: Path) -> Json:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"filename": path.name, "size_bytes": path.stat().st_size, "sha256": digest}


async def _send(storage: httpx.AsyncClient, path: Path, file: Json, slots: asyncio.Semaphore) -> None:
    """One file, again from its start when the connection breaks."""
    async with slots:
        for attempt in range(1, ATTEMPTS + 1):
            headers = {**file["headers"], "Content-Length": str(file["size_bytes"])}
            try:
                answer = await storage.request(file["method"], file["url"], content=_chunks(path), headers=headers)
            except httpx.TransportError as error:
                if attempt == ATTEMPTS:
                    raise Usage(f"{path.name}: the storage does not take it ({type(error).__name__})") from None
            else:
                if answer.is_success:
                    return
                if answer.status_code not in BUSY or attempt == ATTEMPTS:
                    raise Usage(f"{path.name}: the storage refuses it with status {answer.status_code}")
            await asyncio.sleep(2**attempt / 2)


async def _chunks(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
            yield chunk
