"""`/api/…`: the calls of the gateway that the pages' own scripts make, listed one by one, with the session's key."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from fluxline_studio.deps import Parts, SignedIn

router = APIRouter(prefix="/api")

ALLOWED: Final = (
    ("GET", "/images"),
    ("POST", "/images"),
    ("POST", "/images/review"),
    ("GET", "/images/{image_id:uuid}"),
    ("PATCH", "/images/{image_id:uuid}"),
    ("DELETE", "/images/{image_id:uuid}"),
    ("GET", "/images/{image_id:uuid}/content"),
    ("GET", "/images/{image_id:uuid}/thumbnail"),
    ("POST", "/trainings/estimate"),
    ("POST", "/trainings"),
    ("GET", "/trainings/{training_id:uuid}"),
    ("GET", "/trainings/{training_id:uuid}/debug/export"),
    ("GET", "/models/{model_id:uuid}/weights"),
    ("POST", "/models/{model_id:uuid}/generations"),
    ("GET", "/generations/{generation_id:uuid}"),
    ("GET", "/generations/{generation_id:uuid}/images/{index:int}"),
    ("GET", "/limits"),
    ("GET", "/me"),
)
SENT: Final = (
    "accept", "content-type", "content-length", "idempotency-key", "if-none-match", "range", "if-range",
)  # fmt: skip
ANSWERED: Final = (
    "content-type", "content-length", "content-disposition", "content-range", "accept-ranges",
    "etag", "retry-after", "cache-control", "content-security-policy", "idempotent-replayed",
)  # fmt: skip


async def pass_on(request: Request, studio: Parts, session: SignedIn) -> Response:
    """The gateway's answer; bodies are held in memory in neither direction."""
    path = "/v1" + request.url.path.removeprefix("/api")
    headers = {name: value for name in SENT if (value := request.headers.get(name))}
    headers["accept-encoding"] = "identity"
    body = request.stream() if request.method in ("POST", "PATCH") else None
    async with AsyncExitStack() as stack:
        call = studio.gateway.stream(
            request.method, path, session.key, headers=headers, params=request.query_params, content=body,
            follow_redirects=False,
        )  # fmt: skip
        answer = await stack.enter_async_context(call)
        held = stack.pop_all()
    kept = {name: value for name in ANSWERED if (value := answer.headers.get(name))}
    if location := answer.headers.get("location"):
        kept["location"] = location
    return StreamingResponse(_chunks(answer.aiter_bytes(), held), answer.status_code, kept)


async def _chunks(chunks: AsyncIterator[bytes], held: AsyncExitStack) -> AsyncIterator[bytes]:
    async with held:
        async for chunk in chunks:
            yield chunk


for method, path in ALLOWED:
    router.add_api_route(path, pass_on, methods=[method])
