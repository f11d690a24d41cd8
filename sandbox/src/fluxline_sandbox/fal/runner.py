"""What a fal model does with a request: read its input, fetch the LoRA, draw."""

import asyncio
import json
import secrets
from typing import Any

import httpx

from fluxline_sandbox.fal.request import FalError, Input, Lora, checked
from fluxline_sandbox.pictures import draw
from fluxline_sandbox.sandbox import Sandbox
from fluxline_sandbox.store import Document

FOLDER = "fal"
_REFUSED_WORD = "nsfw-test"
_HEADER_LIMIT_BYTES = 100_000_000
_REFUSAL = {
    "loc": ["body", "prompt"],
    "msg": "The content could not be processed because it contained material flagged by a content checker.",
    "type": "content_policy_violation",
}


async def run(sandbox: Sandbox, job: Document) -> dict[str, Any]:
    """`{status, body}` of the result, pictures stored."""
    try:
        given = checked(job["model"], job["input"])
        _check_content(given)
        for lora in given.loras:
            await _load(sandbox, lora)
    except FalError as error:
        return {"status": error.status, "body": error.detail}
    return {"status": 200, "body": await _pictures(sandbox, given, job["seconds"])}


def _check_content(given: Input) -> None:
    if _REFUSED_WORD in given.prompt.lower() and given.enable_safety_checker:
        raise FalError(422, [_REFUSAL])


async def _load(sandbox: Sandbox, lora: Lora) -> None:
    """Fetch as much of the weights as shows that they are safetensors, as whoever loads them would."""
    try:
        async with sandbox.http.stream("GET", lora.path) as response:
            response.raise_for_status()
            content = b""
            async for chunk in response.aiter_bytes():
                content += chunk
                if len(content) >= 8 and len(content) >= 8 + _header_bytes(content):
                    break
        json.loads(content[8 : 8 + _header_bytes(content)])
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        detail = {"loc": ["body", "loras"], "msg": "Failed to load LoRA weights", "type": "file_download_error"}
        raise FalError(422, [detail]) from error


def _header_bytes(content: bytes) -> int:
    """The length of the header, from the file's first eight bytes; raises ValueError for one that cannot be."""
    length = int.from_bytes(content[:8], "little")
    if length > _HEADER_LIMIT_BYTES:
        raise ValueError("not a safetensors file")
    return length


async def _pictures(sandbox: Sandbox, given: Input, seconds: float) -> dict[str, Any]:
    seed = secrets.randbelow(2**31) if given.seed is None else given.seed
    width, height = given.size
    images = []
    for index in range(given.num_images):
        async with sandbox.heavy:
            content = await asyncio.to_thread(draw, given.prompt, seed + index, width, height, given.output_format)
        name = f"{secrets.token_urlsafe(24)}.{given.output_format}"
        (sandbox.store.folder(FOLDER) / name).write_bytes(content)
        url = f"{sandbox.settings.base_url}/fal/files/{name}"
        images.append({"url": url, "width": width, "height": height, "content_type": f"image/{given.output_format}"})
    return {
        "images": images,
        "timings": {"inference": seconds},
        "seed": seed,
        "has_nsfw_concepts": [False] * len(images),
        "prompt": given.prompt,
    }
