"""Routes of the account, the webhook secret and models."""

import re
import time
from typing import Any

from fastapi import APIRouter, Request, Response

from fluxline_sandbox.replicate.catalog import MODELS
from fluxline_sandbox.replicate.jobs import timestamp
from fluxline_sandbox.replicate.problems import Problem, invalid, json_body, not_found
from fluxline_sandbox.sandbox import Sandbox
from fluxline_sandbox.store import Document

_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]{0,98}[a-z0-9])?")
_MAX_MODELS = 1_000
_RELEASED = 1_722_470_400.0
_OPTIONAL = ("description", "github_url", "paper_url", "license_url", "cover_image_url")


def router(sandbox: Sandbox) -> APIRouter:
    """`/account`, `/webhooks/default/secret` and `/models`."""
    routes = APIRouter()
    username = sandbox.settings.replicate_username

    @routes.get("/account")
    async def account() -> dict[str, Any]:
        return {"type": "user", "username": username, "name": "fluxline sandbox", "github_url": None}

    @routes.get("/webhooks/default/secret")
    async def secret() -> dict[str, str]:
        return {"key": sandbox.settings.webhook_secret.get_secret_value()}

    @routes.post("/models", status_code=201)
    async def create(request: Request) -> dict[str, Any]:
        model = _new_model(await json_body(request))
        _refuse_new(sandbox, model)
        sandbox.store.put("model", f"{model['owner']}/{model['name']}", model)
        return shown(model)

    @routes.get("/models/{owner}/{name}")
    async def get(owner: str, name: str) -> dict[str, Any]:
        return shown(_existing(sandbox, f"{owner}/{name}"))

    @routes.get("/models/{owner}/{name}/versions/{version}")
    async def get_version(owner: str, name: str, version: str) -> dict[str, Any]:
        model = _existing(sandbox, f"{owner}/{name}")
        found = sandbox.store.get("version", version)
        if model.get("latest") != version and (found is None or found["model"] != f"{owner}/{name}"):
            raise not_found()
        return _version(version, model["versioned_at"])

    @routes.delete("/models/{owner}/{name}", status_code=204)
    async def delete(owner: str, name: str) -> Response:
        if f"{owner}/{name}" in MODELS:
            raise Problem(403, "Forbidden", "You do not have permission to delete this model")
        _existing(sandbox, f"{owner}/{name}")
        sandbox.store.delete("model", f"{owner}/{name}")
        return Response(status_code=204)

    return routes


def shown(model: Document) -> dict[str, Any]:
    """A model as the API answers it; `latest_version` is null until a training has succeeded."""
    latest = model.get("latest")
    return {
        "url": f"https://replicate.com/{model['owner']}/{model['name']}",
        "owner": model["owner"],
        "name": model["name"],
        "visibility": model["visibility"],
        **{key: model.get(key) for key in _OPTIONAL},
        "run_count": 0,
        "default_example": None,
        "latest_version": None if latest is None else _version(latest, model["versioned_at"]),
    }


def _version(id: str, created: float) -> dict[str, Any]:
    return {"id": id, "created_at": timestamp(created), "cog_version": "0.16.8", "openapi_schema": {}}


def _existing(sandbox: Sandbox, id: str) -> Document:
    if (known := MODELS.get(id)) is not None:
        identity = {"owner": known.owner, "name": known.name, "visibility": "public"}
        return {**identity, "latest": known.version, "versioned_at": _RELEASED}
    model = sandbox.store.get("model", id)
    if model is None:
        raise not_found()
    return model


def _new_model(body: dict[str, Any]) -> Document:
    required = ("owner", "name", "visibility", "hardware")
    missing = [("required", name, f"{name} is required") for name in required if not isinstance(body.get(name), str)]
    if missing:
        raise invalid(missing)
    if not _NAME.fullmatch(body["name"]):
        text = "Model names can only contain lowercase letters, numbers, dashes, underscores, or periods"
        raise invalid([("pattern", "name", text)])
    if body["visibility"] not in ("public", "private"):
        raise invalid([("enum", "visibility", 'visibility must be one of the following: "public", "private"')])
    kept = {key: body.get(key) for key in (*required, *_OPTIONAL)}
    return {**kept, "latest": None, "versioned_at": None, "created_at": time.time()}


def _refuse_new(sandbox: Sandbox, model: Document) -> None:
    """Raise the `Problem` that stands against creating this model, if there is one."""
    if model["owner"] != sandbox.settings.replicate_username:
        raise Problem(403, "Forbidden", f"You do not have permission to create models for {model['owner']}")
    id = f"{model['owner']}/{model['name']}"
    if id in MODELS or sandbox.store.get("model", id) is not None:
        raise Problem(409, "Conflict", "A model with that name and owner already exists.")
    if len(list(sandbox.store.all("model"))) >= _MAX_MODELS:
        raise Problem(422, "Model limit reached", f"An account holds at most {_MAX_MODELS} models")
