"""Together's image API, mounted under `/together/v1`; its LoRA models are retired, as they are at Together."""

import asyncio
import base64
import secrets
import time
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import FileResponse, JSONResponse

from fluxline_sandbox.pictures import MEDIA_TYPES, draw
from fluxline_sandbox.sandbox import Sandbox
from fluxline_sandbox.together.request import ImageRequest, TogetherError, parse

_KEY_HELP = "You can find your API key at https://api.together.ai/settings/api-keys."


def install(app: FastAPI, sandbox: Sandbox) -> None:
    """Add the routes and the error answers; some SDK versions repeat the `/v1` of their base URL."""
    for prefix in ("/together/v1", "/together/v1/v1"):
        app.include_router(router(sandbox), prefix=prefix)
    app.include_router(_results(sandbox))
    app.exception_handler(TogetherError)(_answer)


def router(sandbox: Sandbox) -> APIRouter:
    """POST `/images/generations`."""
    routes = APIRouter()
    token = sandbox.settings.together_api_key.get_secret_value()

    @routes.post("/images/generations")
    async def generate(request: Request) -> dict[str, Any]:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not secrets.compare_digest(given.encode(), token.encode()):
            raise TogetherError(401, f"Invalid API key provided. {_KEY_HELP}", code="invalid_api_key")
        asked = await parse(request)
        await asyncio.sleep(sandbox.behaviour.generation_seconds)
        data = [await _picture(sandbox, asked, index) for index in range(asked.n)]
        sandbox.store.increment("generations")
        return {"id": f"o{secrets.token_hex(12)}", "model": asked.model, "object": "list", "data": data}

    return routes


def _results(sandbox: Sandbox) -> APIRouter:
    routes = APIRouter()

    @routes.api_route("/together/results/{name}", methods=["GET", "HEAD"])
    async def result(name: str) -> Response:
        folder = sandbox.store.folder("images").resolve()
        path = (folder / name).resolve()
        if path.parent != folder or not path.is_file():
            return Response(status_code=404)
        return FileResponse(path, media_type=MEDIA_TYPES[path.suffix[1:]])

    return routes


async def _picture(sandbox: Sandbox, asked: ImageRequest, index: int) -> dict[str, Any]:
    """One picture, as an address or as base64."""
    seed = asked.seed if asked.seed is not None else int(time.time_ns() % 2**31)
    arguments = (asked.prompt, seed + index, asked.width, asked.height, asked.output_format)
    async with sandbox.heavy:
        content = await asyncio.to_thread(draw, *arguments)
    if asked.response_format in ("base64", "b64_json"):
        return {"index": index, "type": "b64_json", "b64_json": base64.b64encode(content).decode()}
    name = f"{secrets.token_urlsafe(24)}.{asked.output_format}"
    (sandbox.store.folder("images") / name).write_bytes(content)
    return {"index": index, "type": "url", "url": f"{sandbox.settings.base_url}/together/results/{name}"}


async def _answer(_: Request, error: TogetherError) -> Response:
    return JSONResponse({"id": secrets.token_hex(8), "error": error.body}, error.status)
