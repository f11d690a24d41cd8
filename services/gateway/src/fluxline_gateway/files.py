"""`/storage/…`: what a signed link of the local folder leads to. An object store serves its links itself."""

import time
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from fluxline.contracts.errors import ErrorCategory
from fluxline.storage import InvalidKey, SignatureExpired, SignatureInvalid
from fluxline.storage.local import LocalStorage
from fluxline.storage.signing import content_disposition
from fluxline_gateway.deps import Deps
from fluxline_gateway.errors import ApiError, NotFound
from fluxline_gateway.streaming import stored_file

router = APIRouter(prefix="/storage", tags=["files"])
_MEDIA_TYPES = {
    "jpg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
    "tiff": "image/tiff",
    "heic": "image/heic",
    "zip": "application/zip",
    "tar": "application/x-tar",
}


def local_storage(gateway: Deps) -> LocalStorage:
    """The local folder; with an object store there is nothing here."""
    if not isinstance(gateway.storage, LocalStorage):
        raise NotFound("File")
    return gateway.storage


@router.api_route("/{key:path}", methods=["GET", "HEAD"], include_in_schema=False)
async def get_file(key: str, request: Request, storage: Annotated[LocalStorage, Depends(local_storage)]) -> Response:
    """A stored file, to whoever has a signed link to it."""
    params = request.query_params
    try:
        storage.verify_signature(key, "GET", params, time.time())
    except (InvalidKey, SignatureInvalid, SignatureExpired) as error:
        raise ApiError(
            403, "Link not valid", category=ErrorCategory.AUTHENTICATION, hint=error.hint, detail=error.message
        ) from error
    stored = await storage.stat(key)
    if stored is None:
        raise NotFound("File")
    headers = {"Cache-Control": "private"}
    if filename := params.get("filename"):
        headers["Content-Disposition"] = content_disposition(filename)
    return await stored_file(
        request,
        storage,
        key,
        stored.size_bytes,
        media_type=_MEDIA_TYPES.get(key.rpartition(".")[2], "application/octet-stream"),
        etag=f"{stored.size_bytes:x}-{stored.last_modified.timestamp() * 1e6:.0f}",
        headers=headers,
    )
