"""Reading repositories: information, listings and downloads."""

from pathlib import PurePosixPath
from typing import Any
from urllib.parse import parse_qs

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse

from fluxline_sandbox.huggingface import cards, repos
from fluxline_sandbox.huggingface.access import Access
from fluxline_sandbox.huggingface.errors import entry_not_found
from fluxline_sandbox.replicate.jobs import timestamp
from fluxline_sandbox.sandbox import Sandbox
from fluxline_sandbox.store import Document

_README_BYTES = 1_000_000


def router(sandbox: Sandbox, access: Access) -> APIRouter:
    """`/api/models/{repo}` with its revisions, trees and paths, and `/{repo}/resolve/{rev}/{path}`."""
    routes = APIRouter(prefix="/hf")

    def visible(request: Request, owner: str, name: str) -> Document:
        return repos.existing(sandbox, f"{owner}/{name}", access.authenticated(request))

    @routes.get("/api/models/{owner}/{name}")
    async def info(request: Request, owner: str, name: str, blobs: bool = False) -> dict[str, Any]:
        return _info(sandbox, visible(request, owner, name), "main", blobs)

    @routes.get("/api/models/{owner}/{name}/revision/{rev:path}")
    async def info_at(request: Request, owner: str, name: str, rev: str, blobs: bool = False) -> dict[str, Any]:
        return _info(sandbox, visible(request, owner, name), rev, blobs)

    @routes.get("/api/models/{owner}/{name}/refs")
    async def refs(request: Request, owner: str, name: str) -> dict[str, Any]:
        head = visible(request, owner, name)["history"][-1]["oid"]
        main = {"name": "main", "ref": "refs/heads/main", "targetCommit": head}
        return {"branches": [main], "converts": [], "tags": [], "pullRequests": []}

    @routes.get("/api/models/{owner}/{name}/commits/{rev:path}")
    async def commits(request: Request, owner: str, name: str, rev: str) -> list[dict[str, Any]]:
        repo = visible(request, owner, name)
        repos.revision(repo, rev)
        return [_shown_commit(access.username, entry) for entry in reversed(repo["history"])]

    @routes.get("/api/models/{owner}/{name}/tree/{rev}")
    async def tree(request: Request, owner: str, name: str, rev: str, recursive: bool = False) -> list[dict[str, Any]]:
        return _tree(repos.revision(visible(request, owner, name), rev), "", recursive)

    @routes.get("/api/models/{owner}/{name}/tree/{rev}/{path:path}")
    async def subtree(
        request: Request, owner: str, name: str, rev: str, path: str, recursive: bool = False
    ) -> list[dict[str, Any]]:
        return _tree(repos.revision(visible(request, owner, name), rev), f"{path.strip('/')}/", recursive)

    @routes.post("/api/models/{owner}/{name}/paths-info/{rev:path}")
    async def paths_info(request: Request, owner: str, name: str, rev: str) -> list[dict[str, Any]]:
        files = repos.revision(visible(request, owner, name), rev)["files"]
        asked = parse_qs((await request.body()).decode("utf-8", errors="replace")).get("paths", [])
        return [_entry(path, files[path]) for path in asked if path in files]

    @routes.api_route("/{owner}/{name}/resolve/{rev}/{path:path}", methods=["GET", "HEAD"])
    async def resolve(request: Request, owner: str, name: str, rev: str, path: str) -> Response:
        commit = repos.revision(visible(request, owner, name), rev)
        return _download(sandbox, commit, path)

    return routes


def _download(sandbox: Sandbox, commit: Document, path: str) -> Response:
    """The file with the headers that the client caches by; Starlette answers ranges and HEAD."""
    file = repos.file_at(commit, path)
    etag = file["sha256"] if file["lfs"] else file["oid"]
    headers = {"ETag": f'"{etag}"', "X-Repo-Commit": commit["oid"], "Accept-Ranges": "bytes"}
    if file["lfs"]:
        headers |= {"X-Linked-Etag": f'"{etag}"', "X-Linked-Size": str(file["size"])}
    name = PurePosixPath(path).name
    return FileResponse(
        repos.blob(sandbox, file["sha256"]), filename=name, content_disposition_type="inline", headers=headers
    )


def _info(sandbox: Sandbox, repo: Document, rev: str, blobs: bool) -> dict[str, Any]:
    """A model as the API answers it; the card of that revision gives tags, pipeline and library."""
    commit = repos.revision(repo, rev)
    card = _card(sandbox, commit)
    return {
        "_id": repo["history"][0]["oid"][:24],
        "id": repo["id"],
        "modelId": repo["id"],
        "author": repo["id"].partition("/")[0],
        "sha": commit["oid"],
        "private": repo["private"],
        "gated": False,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "createdAt": timestamp(repo["created_at"]),
        "lastModified": timestamp(commit["date"]),
        "tags": [tag for tag in card.get("tags") or [] if isinstance(tag, str)],
        "pipeline_tag": card.get("pipeline_tag"),
        "library_name": card.get("library_name"),
        "cardData": card or None,
        "usedStorage": sum(file["size"] for file in commit["files"].values()),
        "siblings": [_sibling(path, file, blobs) for path, file in sorted(commit["files"].items())],
    }


def _card(sandbox: Sandbox, commit: Document) -> dict[str, Any]:
    readme = commit["files"].get("README.md")
    if readme is None or readme["size"] > _README_BYTES:
        return {}
    text = repos.blob(sandbox, readme["sha256"]).read_text("utf-8", errors="replace")
    try:
        return cards.metadata(text) or {}
    except cards.CardError:
        return {}


def _sibling(path: str, file: Document, blobs: bool) -> dict[str, Any]:
    if not blobs:
        return {"rfilename": path}
    lfs = {"sha256": file["sha256"], "size": file["size"], "pointerSize": file["pointer_size"]} if file["lfs"] else None
    sibling = {"rfilename": path, "size": file["size"], "blobId": file["oid"]}
    return sibling if lfs is None else {**sibling, "lfs": lfs}


def _tree(commit: Document, prefix: str, recursive: bool) -> list[dict[str, Any]]:
    """Files and folders below `prefix`, all of them or the next level only."""
    below = {path: file for path, file in sorted(commit["files"].items()) if path.startswith(prefix)}
    if prefix and not below:
        raise entry_not_found()
    folders: dict[str, None] = {}
    entries = []
    for path, file in below.items():
        parents = path[len(prefix) :].split("/")[:-1]
        for depth in range(1, (len(parents) if recursive else min(1, len(parents))) + 1):
            folders[prefix + "/".join(parents[:depth])] = None
        if recursive or not parents:
            entries.append(_entry(path, file))
    return [{"type": "directory", "path": path, "oid": commit["oid"], "size": 0} for path in folders] + entries


def _entry(path: str, file: Document) -> dict[str, Any]:
    entry = {"type": "file", "path": path, "size": file["size"], "oid": file["oid"]}
    if file["lfs"]:
        entry["lfs"] = {"oid": file["sha256"], "size": file["size"], "pointerSize": file["pointer_size"]}
    return entry


def _shown_commit(author: str, entry: Document) -> dict[str, Any]:
    date = timestamp(entry["date"])
    return {"id": entry["oid"], "title": entry["title"], "message": "", "date": date, "authors": [{"user": author}]}
