"""Preparing and making commits: `preupload`, `validate-yaml` and `commit` with its ndjson body."""

import base64
import binascii
import json
from pathlib import PurePosixPath
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from fluxline_sandbox.huggingface import cards, repos
from fluxline_sandbox.huggingface.access import Access
from fluxline_sandbox.huggingface.errors import HubError, entry_not_found, json_body
from fluxline_sandbox.huggingface.lfs import stored
from fluxline_sandbox.sandbox import Sandbox
from fluxline_sandbox.store import Document

_LFS_BYTES = 10 * 1024 * 1024


def router(sandbox: Sandbox, access: Access) -> APIRouter:
    """`/api/validate-yaml`, `/api/models/{repo}/preupload/{rev}` and `/api/models/{repo}/commit/{rev}`."""
    routes = APIRouter(prefix="/hf/api")

    @routes.post("/validate-yaml")
    async def validate_yaml(request: Request) -> JSONResponse:
        errors, warnings = cards.findings(str((await json_body(request)).get("content", "")))
        body = {"errors": [{"message": text} for text in errors], "warnings": [{"message": text} for text in warnings]}
        return JSONResponse(body, 400 if errors else 200)

    @routes.post("/models/{owner}/{name}/preupload/{rev:path}")
    async def preupload(request: Request, owner: str, name: str, rev: str) -> dict[str, Any]:
        repo = _writable(sandbox, access, request, f"{owner}/{name}")
        files = repos.revision(repo, rev)["files"]
        asked = (await json_body(request)).get("files")
        if not isinstance(asked, list):
            raise HubError(400, "files must be a list")
        return {"files": [_upload_mode(item, files) for item in asked], "commitOid": repo["history"][-1]["oid"]}

    @routes.post("/models/{owner}/{name}/commit/{rev:path}")
    async def commit(request: Request, owner: str, name: str, rev: str) -> dict[str, Any]:
        repo = _writable(sandbox, access, request, f"{owner}/{name}")
        if rev != "main" or request.query_params.get("create_pr"):
            raise HubError(400, "Only commits to main are supported here")
        lines = _lines(await request.body())
        repo = repos.existing(sandbox, repo["id"], True)  # read again: the body may have taken long to arrive
        oid = _commit(sandbox, repo, lines)
        url = f"{sandbox.settings.base_url}/hf/{repo['id']}/commit/{oid}"
        return {"success": True, "commitOid": oid, "commitUrl": url, "hookOutput": ""}

    return routes


def _writable(sandbox: Sandbox, access: Access, request: Request, id: str) -> Document:
    access.require(request)
    repo = repos.existing(sandbox, id, True)
    access.require_owner(request, id)
    return repo


def _upload_mode(item: Any, files: Document) -> dict[str, Any]:
    """How one file must come; `oid` names what is at its path now, so that an unchanged file is left out."""
    path = _path(item)
    size = item.get("size")
    if not isinstance(size, int):
        raise HubError(400, f"size of {path} must be an integer")
    large = (
        PurePosixPath(path).suffix.lower().lstrip(".") in repos.LFS_SUFFIXES
        or size > _LFS_BYTES
        or _binary(item.get("sample"))
    )
    mode = "lfs" if large and size > 0 else "regular"
    known = files.get(path)
    oid = {} if known is None else {"oid": known["sha256"] if known["lfs"] else known["oid"]}
    return {"path": path, "uploadMode": mode, "shouldIgnore": False, **oid}


def _binary(sample: Any) -> bool:
    try:
        return b"\0" in base64.b64decode(sample or "")
    except (binascii.Error, TypeError, ValueError) as error:
        raise HubError(400, "sample must be base64") from error


def _path(value: Any) -> str:
    """A path inside the repository; raises a 400 for one that is absolute, climbs, or hides in `.git`."""
    path = value.get("path") if isinstance(value, dict) else None
    if not isinstance(path, str) or not path or len(path) > 1_000:
        raise HubError(400, "path must be a non-empty string")
    parts = path.split("/")
    if {"", ".", ".."} & set(parts) or parts[0] == ".git" or not path.isprintable():
        raise HubError(400, f"Invalid path in repo: {path!r}")
    return path


def _lines(body: bytes) -> list[tuple[str, dict[str, Any]]]:
    """(key, value) of every line of the ndjson; the first must be the header."""
    try:
        parsed = [json.loads(line) for line in body.splitlines() if line.strip()]
        lines = [(str(line["key"]), dict(line["value"])) for line in parsed]
    except (ValueError, TypeError, KeyError) as error:
        raise HubError(400, "Malformed commit payload: expected one JSON object per line") from error
    if not lines or lines[0][0] != "header" or not lines[0][1].get("summary"):
        raise HubError(400, "Malformed commit payload: the first line must be a header with a summary")
    return lines


def _commit(sandbox: Sandbox, repo: Document, lines: list[tuple[str, dict[str, Any]]]) -> str:
    """Make the commit, completely or not at all."""
    header = lines[0][1]
    head = repo["history"][-1]
    if header.get("parentCommit", head["oid"]) != head["oid"]:
        raise HubError(412, "A commit has happened since. Please refresh and try again.")
    files = dict(head["files"])
    for key, value in lines[1:]:
        _apply(sandbox, files, key, value)
    oid = repos.commit(repo, files, str(header["summary"]))
    sandbox.store.put("repo", repo["id"], repo)
    sandbox.store.increment("commits")
    return oid


def _apply(sandbox: Sandbox, files: Document, key: str, value: dict[str, Any]) -> None:
    path = _path(value)
    if key == "file":
        files[path] = repos.regular_file(sandbox, _content(value))
    elif key == "lfsFile":
        oid, size = str(value.get("oid")), value.get("size")
        if not stored(sandbox, oid, size):
            raise HubError(400, "LFS pointer pointed to a file that does not exist", oid=oid)
        files[path] = repos.lfs_file(oid, repos.blob(sandbox, oid).stat().st_size)
    elif key == "deletedFile":
        if files.pop(path, None) is None:
            raise entry_not_found()
    elif key == "deletedFolder":
        for name in [name for name in files if name.startswith(f"{path.rstrip('/')}/")]:
            del files[name]
    else:
        raise HubError(400, f"Unknown operation in commit payload: {key}")


def _content(value: dict[str, Any]) -> bytes:
    try:
        return base64.b64decode(value.get("content") or "", validate=True)
    except (binascii.Error, TypeError, ValueError) as error:
        raise HubError(400, "content must be base64") from error
