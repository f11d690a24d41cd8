"""`/storage/…`: what a signed link of the local folder leads to. An object store serves its links itself."""

import time
from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from fluxline.contracts.errors import ErrorCategory
from fluxline.storage import InvalidKey, SignatureExpired, SignatureInvalid, SizeMismatch
from fluxline.storage.local import LocalStorage
from fluxline.storage.signing import content_disposition
from fluxline_gateway.deps import Deps
from fluxline_gateway.errors import ApiError, NotFound
from fluxline_gateway.images.uploads import UploadSlots, limited_body
from fluxline_gateway.streaming import stored_file

router = APIRouter(prefix="/storage", tags=["files"])
_slots = UploadSlots(total=64, per_owner=32)  # of this process; each takes one file of the size in its link
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


Folder = Annotated[LocalStorage, Depends(local_storage)]


@router.api_route("/{key:path}", methods=["GET", "HEAD"], include_in_schema=False)
async def get_file(key: str, request: Request, storage: Folder) -> Response:
    """A stored file, to whoever has a signed link to it."""
    params = _verified(storage, key, "GET", request)
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


@router.put("/{key:path}", include_in_schema=False)
async def put_file(key: str, request: Request, storage: Folder) -> Response:
    """Store a file from whoever has a signed link that takes one of its size; sent again, it replaces it."""
    size_bytes = int(_verified(storage, key, "PUT", request)["size"])
    _check_length(request, size_bytes)
    with _slots.taken(_owner_of(key)):
        try:
            await storage.receive(key, limited_body(request, size_bytes), size_bytes=size_bytes)
        except SizeMismatch as error:
            raise _wrong_size(int(error.context["received_bytes"]), size_bytes) from error
    return Response()


def _owner_of(key: str) -> str:
    """Whose file it is, as keys of all kinds name it second: `incoming/ada/…`."""
    return key.split("/")[1] if "/" in key else ""


def _verified(storage: LocalStorage, key: str, method: str, request: Request) -> Mapping[str, str]:
    """The query of a link that allows this; any other is answered with 403."""
    try:
        storage.verify_signature(key, method, request.query_params, time.time())
    except (InvalidKey, SignatureInvalid, SignatureExpired) as error:
        raise ApiError(
            403, "Link not valid", category=ErrorCategory.AUTHENTICATION, hint=error.hint, detail=error.message
        ) from error
    return request.query_params


def _check_length(request: Request, size_bytes: int) -> None:
    """Refuse what cannot fit before it is read, as an object store does."""
    declared = request.headers.get("content-length", "")
    if not declared.isdecimal():
        raise ApiError(
            411,
            "Length required",
            category=ErrorCategory.VALIDATION,
            hint=f"Send the header 'Content-Length: {size_bytes}', without a Transfer-Encoding.",
        )
    if int(declared) != size_bytes:
        raise _wrong_size(int(declared), size_bytes)


def _wrong_size(received: int, size_bytes: int) -> ApiError:
    return ApiError(
        413 if received > size_bytes else 400,
        "Not the announced size",
        category=ErrorCategory.VALIDATION,
        hint="Send exactly the file that was announced, or announce the one that you have.",
        detail=f"The link takes {size_bytes} bytes, not {received}.",
    )
