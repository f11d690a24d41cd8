"""A prediction from its creation to its end: waiting, drawing, telling."""

import asyncio
import secrets
from typing import Any

from fluxline_sandbox.pictures import draw
from fluxline_sandbox.replicate import webhooks
from fluxline_sandbox.replicate.jobs import TERMINAL, ends_at, finish, public, until
from fluxline_sandbox.sandbox import Sandbox
from fluxline_sandbox.store import Document

_REFUSED_WORD = "nsfw-test"
_REFUSAL = (
    "NSFW content detected. Try running it again, or try a different prompt. "
    "(https://replicate.com/docs/how-does-replicate-work#safety)"
)
_PIXELS = 1_048_576


def shown(sandbox: Sandbox, job: Document) -> dict[str, Any]:
    """The prediction as the API answers it now."""
    return public(sandbox, job, job["logs"])


def start(sandbox: Sandbox, job: Document) -> None:
    """Go on with a stored prediction in the background, unless it has ended."""
    if job["status"] not in TERMINAL:
        sandbox.spawn(f"prediction {job['id']}", _run(sandbox, job))


def cancel(sandbox: Sandbox, job: Document) -> None:
    """End a running prediction as canceled; one that has ended stays as it is."""
    if job["status"] in TERMINAL:
        return
    sandbox.stop(f"prediction {job['id']}")
    finish(job, "canceled")
    sandbox.store.put("prediction", job["id"], job)
    sandbox.store.increment("cancels")


async def _run(sandbox: Sandbox, job: Document) -> None:
    webhooks.tell(sandbox, job, "start", lambda: shown(sandbox, job))
    await until(ends_at(job))
    seed = job["input"].get("seed")
    seed = secrets.randbelow(2**31) if seed is None else seed
    job["logs"] = f"Using seed: {seed}\n"
    if _REFUSED_WORD in job["input"]["prompt"].lower():
        finish(job, "failed", error=_REFUSAL)
    else:
        finish(job, "succeeded", output=await _pictures(sandbox, job["input"], seed))
    sandbox.store.put("prediction", job["id"], job)
    await webhooks.deliver(sandbox, job, "completed", shown(sandbox, job))


async def _pictures(sandbox: Sandbox, values: dict[str, Any], seed: int) -> list[str]:
    """Draw and store the pictures; the answer is their delivery URLs."""
    width, height = _size(values)
    token, format = secrets.token_urlsafe(24), values["output_format"]
    folder = sandbox.store.folder("outputs") / token
    folder.mkdir()
    urls = []
    for index in range(values["num_outputs"]):
        name = f"out-{index}.{format}"
        arguments = (values["prompt"], seed + index, width, height, format, values["output_quality"])
        async with sandbox.heavy:
            (folder / name).write_bytes(await asyncio.to_thread(draw, *arguments))
        urls.append(f"{sandbox.settings.base_url}/replicate/delivery/{token}/{name}")
    return urls


def _size(values: dict[str, Any]) -> tuple[int, int]:
    """Pixels for the aspect ratio, or the asked size rounded down to 16 when the ratio is `custom`."""
    if values["aspect_ratio"] == "custom":
        width, height = values.get("width", 1024), values.get("height", 1024)
        return width // 16 * 16, height // 16 * 16
    across, down = map(int, values["aspect_ratio"].split(":"))
    scale = (_PIXELS / (across * down)) ** 0.5
    return int(across * scale) // 16 * 16, int(down * scale) // 16 * 16
