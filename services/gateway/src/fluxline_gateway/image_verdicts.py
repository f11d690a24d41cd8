"""What becomes of a file that was sent as a photo, whichever way it came: an image of its owner, or a reason."""

import asyncio
from collections.abc import Iterable
from pathlib import Path

from pydantic import BaseModel

from fluxline.images import ImageRejected, inspect
from fluxline_gateway.deps import Gateway
from fluxline_gateway.image_store import Image, ImageStore
from fluxline_gateway.images import ImageView


class RejectedFile(BaseModel):
    """A file that is no photo to train on: `code` for programs, `reason` for people."""

    filename: str
    code: str
    reason: str


class UploadVerdicts(BaseModel):
    """What became of each file, in the order in which they were sent."""

    accepted: list[ImageView]
    rejected: list[RejectedFile]


async def judge(gateway: Gateway, store: ImageStore, owner: str, filename: str, path: Path) -> Image | RejectedFile:
    """Look at a file by its content, and keep it if it is a photo; removes it from `path` then."""
    try:
        async with gateway.inspections:
            facts = await asyncio.to_thread(inspect, path)
    except ImageRejected as error:
        return RejectedFile(filename=filename, code=error.code, reason=error.reason)
    image = await store.keep(owner, filename, path, facts)
    await asyncio.to_thread(path.unlink)
    return image


def verdicts_of(judged: Iterable[Image | RejectedFile]) -> UploadVerdicts:
    """The verdicts as they are answered."""
    judged = list(judged)
    return UploadVerdicts(
        accepted=[ImageView.model_validate(verdict) for verdict in judged if isinstance(verdict, Image)],
        rejected=[verdict for verdict in judged if isinstance(verdict, RejectedFile)],
    )
