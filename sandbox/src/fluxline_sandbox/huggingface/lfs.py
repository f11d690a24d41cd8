"""LFS: the batch call, the upload itself and its verification (git-lfs/docs/api/batch.md, transfer `basic`)."""

import hashlib
import hmac
import os
import re
import tempfile
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from fluxline_sandbox.huggingface import repos
from fluxline_sandbox.huggingface.access import Access
from fluxline_sandbox.huggingface.errors import HubError, json_body
from fluxline_sandbox.sandbox import Sandbox

_OID = re.compile(r"[0-9a-f]{64}")
_MEDIA_TYPE = "application/vnd.git-lfs+json"
_MAX_BYTES = 5 * 1024**3


def router(sandbox: Sandbox, access: Access) -> APIRouter:
    """`/{repo}.git/info/lfs/objects/batch` and `verify`, and the signed address that takes the bytes."""
    routes = APIRouter(prefix="/hf")

    @routes.post("/{owner}/{name}.git/info/lfs/objects/batch")
    async def batch(request: Request, owner: str, name: str) -> Response:
        access.require_owner(request, f"{owner}/{name}")
        repos.existing(sandbox, f"{owner}/{name}", True)
        body = await json_body(request)
        objects = body.get("objects")
        if not isinstance(objects, list) or body.get("operation") != "upload":
            raise HubError(400, "Only LFS uploads with a list of objects are supported")
        answers = [_instructions(sandbox, f"{owner}/{name}", *_identity(item)) for item in objects]
        return JSONResponse({"transfer": "basic", "objects": answers}, media_type=_MEDIA_TYPE)

    @routes.put("/lfs/{oid}")
    async def upload(request: Request, oid: str, size: int, signature: str) -> Response:
        if not hmac.compare_digest(signature.encode(), _signature(sandbox, oid, size).encode()):
            return _storage_error(403, "SignatureDoesNotMatch")
        return await _receive(sandbox, request, oid, size)

    @routes.post("/{owner}/{name}.git/info/lfs/objects/verify")
    async def verify(request: Request, owner: str, name: str) -> dict[str, Any]:
        access.require_owner(request, f"{owner}/{name}")
        oid, size = _identity(await json_body(request))
        if not stored(sandbox, oid, size):
            raise HubError(404, f"LFS object {oid} of {size} bytes was not uploaded")
        return {"oid": oid, "size": size}

    return routes


def stored(sandbox: Sandbox, oid: str, size: int | None = None) -> bool:
    """Whether bytes with this hash, and this size if one is given, have arrived."""
    path = repos.blob(sandbox, oid)
    return bool(_OID.fullmatch(oid)) and path.is_file() and size in (None, path.stat().st_size)


def _identity(item: Any) -> tuple[str, int]:
    """(oid, size) of an LFS object; raises a 400 for anything malformed."""
    oid, size = (item.get("oid"), item.get("size")) if isinstance(item, dict) else (None, None)
    if not isinstance(oid, str) or not _OID.fullmatch(oid) or not isinstance(size, int) or not 0 <= size <= _MAX_BYTES:
        raise HubError(400, "An LFS object needs a sha256 oid and a size of at most 5 GiB")
    return oid, size


def _instructions(sandbox: Sandbox, repo_id: str, oid: str, size: int) -> dict[str, Any]:
    """What to do with one object; no `actions` when its bytes are here already."""
    if stored(sandbox, oid, size):
        return {"oid": oid, "size": size}
    base = f"{sandbox.settings.base_url}/hf"
    query = urlencode({"size": size, "signature": _signature(sandbox, oid, size), "repository": repo_id})
    upload = {"href": f"{base}/lfs/{oid}?{query}", "header": {}}
    verify = {"href": f"{base}/{repo_id}.git/info/lfs/objects/verify"}
    return {"oid": oid, "size": size, "authenticated": True, "actions": {"upload": upload, "verify": verify}}


def _signature(sandbox: Sandbox, oid: str, size: int) -> str:
    key = sandbox.settings.huggingface_api_token.get_secret_value().encode()
    return hmac.new(key, f"{oid}:{size}".encode(), hashlib.sha256).hexdigest()


async def _receive(sandbox: Sandbox, request: Request, oid: str, size: int) -> Response:
    """Take the bytes; they are kept only when size and hash are the announced ones."""
    folder = sandbox.store.folder("incoming")
    digest, received = hashlib.sha256(), 0
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        async for chunk in request.stream():
            received += len(chunk)
            if received > size:
                return _storage_error(400, "EntityTooLarge")
            digest.update(chunk)
            file.write(chunk)
        file.flush()
        if received != size or digest.hexdigest() != oid:
            return _storage_error(400, "BadDigest")
        target = repos.blob(sandbox, oid)
        if not target.exists():
            os.link(file.name, target)
    return Response(status_code=200, headers={"ETag": f'"{oid}"'})


def _storage_error(status: int, code: str) -> Response:
    """An error as object storage words it."""
    text = f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code></Error>'
    return Response(text, status, media_type="application/xml")
