"""Where results are fetched: `/replicate/delivery/{token}/{name}`, without authentication, as replicate.delivery."""

import asyncio
import json
from pathlib import PurePosixPath
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse, StreamingResponse

from fluxline_sandbox.pictures import MEDIA_TYPES
from fluxline_sandbox.replicate import archive, lora
from fluxline_sandbox.replicate.catalog import MODELS
from fluxline_sandbox.replicate.dataset import caption_name
from fluxline_sandbox.replicate.logs import steps
from fluxline_sandbox.sandbox import Sandbox
from fluxline_sandbox.store import CACHE, Document

_DEFAULT_RANK = 16


def router(sandbox: Sandbox) -> APIRouter:
    """GET and HEAD of trained weights and generated pictures; 404 for anything else."""
    routes = APIRouter()

    @routes.api_route("/replicate/delivery/{token}/trained_model.tar", methods=["GET", "HEAD"])
    async def weights(request: Request, token: str) -> Response:
        found = sandbox.store.get("delivery", token)
        job = found and sandbox.store.get("training", found["training"])
        if job is None:
            return Response(status_code=404)
        members = await asyncio.to_thread(_members, sandbox, job)
        length = {"content-length": str(archive.size(members))}
        if request.method == "HEAD":
            return Response(media_type="application/x-tar", headers=length)
        stream = archive.chunks(members, int(job["completed_at"]))
        return StreamingResponse(stream, media_type="application/x-tar", headers=length)

    @routes.api_route("/replicate/delivery/{token}/{name}", methods=["GET", "HEAD"])
    async def picture(token: str, name: str) -> Response:
        outputs = sandbox.store.folder("outputs").resolve()
        path = (outputs / token / name).resolve()
        if path.parent.parent != outputs or not path.is_file():
            return Response(status_code=404)
        return FileResponse(path, media_type=MEDIA_TYPES[path.suffix[1:]])

    return routes


def _members(sandbox: Sandbox, job: Document) -> list[archive.Member]:
    rank = job["input"].get("lora_rank", _DEFAULT_RANK)
    metadata = {
        "trigger_word": job["input"]["trigger_word"],
        "lora_rank": str(rank),
        "steps": str(steps(job)),
        "training_id": job["id"],
    }
    path = str(MODELS[job["model"]].tar_path)
    head = lora.header(rank, job["lora_blocks"], metadata)
    rest = lora.payload(sandbox.store.folder(CACHE), rank, job["lora_blocks"])
    weights = archive.Member(path, head, rest)
    if not path.startswith("output/"):
        return [weights]
    folder = str(PurePosixPath(path).parent)
    config = archive.Member(f"{folder}/config.yaml", json.dumps(_config(job), indent=2).encode())
    return [weights, config, *_captions(folder, job)]


def _captions(folder: str, job: Document) -> list[archive.Member]:
    """The captions that came with the images, and one made up for every image without, if that was asked for."""
    texts = dict(job["dataset"]["captions"])
    if job["input"].get("autocaption"):
        before, after = job["input"].get("autocaption_prefix", ""), job["input"].get("autocaption_suffix", "")
        for image in job["dataset"]["images"]:
            texts.setdefault(caption_name(image), f"{before}a photo of {job['input']['trigger_word']}{after}")
    return [archive.Member(f"{folder}/captions/{name}", text.encode()) for name, text in sorted(texts.items())]


def _config(job: Document) -> dict[str, Any]:
    """The trainer's configuration file; JSON is YAML too."""
    given = job["input"]
    network = {"type": "lora", "linear": given["lora_rank"], "linear_alpha": given["lora_rank"]}
    train = {"steps": given["steps"], "lr": given["learning_rate"], "batch_size": given["batch_size"]}
    process = {
        "type": "custom_sd_trainer",
        "training_folder": "output",
        "trigger_word": given["trigger_word"],
        "network": network,
        "save": {"dtype": "float16"},
        "datasets": [{"folder_path": "input_images", "caption_ext": "txt", "resolution": given["resolution"]}],
        "train": {**train, "optimizer": given["optimizer"], "dtype": "bf16"},
        "model": {"name_or_path": "FLUX.1-dev", "is_flux": True},
    }
    return {"job": "custom_job", "config": {"name": "flux_train_replicate", "process": [process]}}
