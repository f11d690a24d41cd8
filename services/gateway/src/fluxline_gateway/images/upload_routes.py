"""`POST /v1/images`: photos in, each with a verdict of its own."""

import asyncio
from contextlib import aclosing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fastapi import APIRouter, Request

from fluxline_gateway.deps import Deps, Gateway, Owner
from fluxline_gateway.errors import problems
from fluxline_gateway.images.routes import Store
from fluxline_gateway.images.store import Image, ImageStore
from fluxline_gateway.images.uploads import FIELD, MAX_UPLOAD_FILES, UploadSlots, receive_files
from fluxline_gateway.images.verdicts import RejectedFile, UploadVerdicts, judge, verdicts_of

router = APIRouter(prefix="/v1/images", tags=["images"])
_slots = UploadSlots()  # of this process, whose disk it is
_FILES = {"type": "array", "minItems": 1, "maxItems": MAX_UPLOAD_FILES, "items": {"type": "string", "format": "binary"}}
_FORM = {"type": "object", "required": [FIELD], "properties": {FIELD: _FILES}, "additionalProperties": False}
_UPLOAD_BODY: dict[str, Any] = {
    "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": _FORM}}}
}

_REFUSALS = problems(
    _400="The multipart body is malformed",
    _408="The upload stalls or crawls",
    _413="The upload is larger, or has more files, than an upload may",
    _415="The body is no multipart/form-data",
    _422="The form has no file, or another field",
    _429="Too many of the owner's uploads run at once",
    _503="All places for uploads are taken",
)


@router.post("", status_code=201, operation_id="upload_images", openapi_extra=_UPLOAD_BODY, responses=_REFUSALS)
async def upload_images(request: Request, gateway: Deps, store: Store, owner: Owner) -> UploadVerdicts:
    """Upload photos in the multipart field `files`; the same bytes again give the same id."""
    with _slots.taken(owner.owner), TemporaryDirectory(prefix="fluxline-upload-") as folder:
        verdicts = await _verdicts(request, gateway, store, owner.owner, Path(folder))
    return await verdicts_of(store, owner.owner, verdicts)


async def _verdicts(
    request: Request, gateway: Gateway, store: ImageStore, owner: str, folder: Path
) -> list[Image | RejectedFile]:
    """Judge each file while the next one comes in."""
    judging: list[asyncio.Task[Image | RejectedFile]] = []
    try:
        async with aclosing(receive_files(request, folder)) as files:
            async for file in files:
                judging.append(asyncio.create_task(judge(gateway, store, owner, file.filename, file.path)))
        return await asyncio.gather(*judging)
    finally:
        for task in judging:
            task.cancel()
        await asyncio.gather(*judging, return_exceptions=True)  # before their folder is removed
