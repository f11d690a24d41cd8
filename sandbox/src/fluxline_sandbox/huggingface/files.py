"""Reading repositories: information, listings and downloads."""

from pathlib import PurePosixPath
from typing import Any
from urllib.parse import parse_qs

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse

from fluxline_sandbox.huggingface import listings, repos
from fluxline_sandbox.huggingface.access import Access
from fluxline_sandbox.sandbox import Sandbox
from fluxline_sandbox.store import Document


def router(sandbox: Sandbox, access: Access) -> APIRouter:
    """`/api/models/{repo}` with its revisions, trees and paths, and `/{repo}/resolve/{rev}/{path}`."""
    routes = APIRouter(prefix="/hf")

    def visible(request: Request, owner: str, name: str) -> Document:
        return repos.existing(sandbox, f"{owner}/{name}", access.authenticated(request))

    @routes.get("/api/models/{owner}/{name}")
    async def info(request: Request, owner: str, name: str, blobs: bool = False) -> dict[str, Any]:
        return listings.info(sandbox, visible(request, owner, name), "main", blobs)

    @routes.get("/api/models/{owner}/{name}/revision/{rev:path}")
    async def info_at(request: Request, owner: str, name: str, rev: str, blobs: bool = False) -> dict[str, Any]:
        return listings.info(sandbox, visible(request, owner, name), rev, blobs)

    @routes.get("/api/models/{owner}/{name}/refs")
    async def refs(request: Request, owner: str, name: str) -> dict[str, Any]:
        head = visible(request, owner, name)["history"][-1]["oid"]
        main = {"name": "main", "ref": "refs/heads/main", "targetCommit": head}
        return {"branches": [main], "converts": [], "tags": [], "pullRequests": []}

    @routes.get("/api/models/{owner}/{name}/commits/{rev:path}")
    async def commits(request: Request, owner: str, name: str, rev: str) -> list[dict[str, Any]]:
        repo = visible(request, owner, name)
        repos.revision(repo, rev)
        return [listings.shown_commit(access.username, entry) for entry in reversed(repo["history"])]

    @routes.get("/api/models/{owner}/{name}/tree/{rev}")
    async def tree(request: Request, owner: str, name: str, rev: str, recursive: bool = False) -> list[dict[str, Any]]:
        return listings.tree(repos.revision(visible(request, owner, name), rev), "", recursive)

    @routes.get("/api/models/{owner}/{name}/tree/{rev}/{path:path}")
    async def subtree(
        request: Request, owner: str, name: str, rev: str, path: str, recursive: bool = False
    ) -> list[dict[str, Any]]:
        return listings.tree(repos.revision(visible(request, owner, name), rev), f"{path.strip('/')}/", recursive)

    @routes.post("/api/models/{owner}/{name}/paths-info/{rev:path}")
    async def paths_info(request: Request, owner: str, name: str, rev: str) -> list[dict[str, Any]]:
        files = repos.revision(visible(request, owner, name), rev)["files"]
        asked = parse_qs((await request.body()).decode("utf-8", errors="replace")).get("paths", [])
        return [listings.entry(path, files[path]) for path in asked if path in files]

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
