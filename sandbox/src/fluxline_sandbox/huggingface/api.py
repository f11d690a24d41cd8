"""The hub's HTTP API, mounted under `/hf`: the account, repositories, and the routes of commits, LFS and files."""

from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import JSONResponse, Response

from fluxline_sandbox.huggingface import commits, files, lfs, repos
from fluxline_sandbox.huggingface.access import Access
from fluxline_sandbox.huggingface.errors import HubError, answer, json_body
from fluxline_sandbox.sandbox import Sandbox


def install(app: FastAPI, sandbox: Sandbox) -> None:
    """Add the routes and the error answers."""
    access = Access(sandbox)
    for module in (lfs, commits, files):
        app.include_router(module.router(sandbox, access))
    app.include_router(router(sandbox, access))
    app.exception_handler(HubError)(answer)


def router(sandbox: Sandbox, access: Access) -> APIRouter:
    """`/api/whoami-v2` and the life of repositories."""
    routes = APIRouter(prefix="/hf/api")

    @routes.get("/whoami-v2")
    async def whoami(request: Request) -> dict[str, Any]:
        try:
            access.require(request)
        except HubError as error:
            raise HubError(401, "Invalid credentials in Authorization header") from error
        return _account(access.username)

    @routes.post("/repos/create")
    async def create(request: Request) -> Response:
        access.require(request)
        body = await json_body(request)
        id = _repo_id(access, body)
        access.require_owner(request, id)
        url = f"{sandbox.settings.base_url}/hf/{id}"
        if sandbox.store.get("repo", id) is not None:
            return JSONResponse({"error": "You already created this model repo", "url": url}, 409)
        repo = repos.create(sandbox, id, _private(body))
        return JSONResponse({"url": url, "name": id, "id": repo["history"][0]["oid"][:24]})

    @routes.delete("/repos/delete")
    async def delete(request: Request) -> dict[str, bool]:
        access.require(request)
        id = _repo_id(access, await json_body(request))
        repos.existing(sandbox, id, True)
        access.require_owner(request, id)
        sandbox.store.delete("repo", id)
        return {"success": True}

    @routes.put("/models/{owner}/{name}/settings")
    async def update(request: Request, owner: str, name: str) -> dict[str, Any]:
        access.require(request)
        repo = repos.existing(sandbox, f"{owner}/{name}", True)
        access.require_owner(request, repo["id"])
        repo["private"] = _private(await json_body(request), repo["private"])
        sandbox.store.put("repo", repo["id"], repo)
        return {"private": repo["private"]}

    return routes


def _repo_id(access: Access, body: dict[str, Any]) -> str:
    if body.get("type") not in (None, "model"):
        raise HubError(400, "Only model repositories are supported here")
    owner = body.get("organization") or access.username
    return f"{owner}/{repos.check_name(body.get('name'))}"


def _private(body: dict[str, Any], default: bool = False) -> bool:
    """Visibility in its present form (`visibility`) or its former one (`private`)."""
    visibility = body.get("visibility")
    if visibility not in (None, "public", "private"):
        raise HubError(400, 'visibility must be "public" or "private"')
    return visibility == "private" if visibility else bool(body.get("private", default))


def _account(username: str) -> dict[str, Any]:
    token = {"displayName": "sandbox", "role": "write", "createdAt": "2026-01-01T00:00:00.000Z"}
    return {
        "type": "user",
        "id": "0123456789abcdef01234567",
        "name": username,
        "fullname": username,
        "isPro": False,
        "orgs": [],
        "auth": {"type": "access_token", "accessToken": token},
    }
