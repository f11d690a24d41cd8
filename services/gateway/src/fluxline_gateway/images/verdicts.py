"""What becomes of a file that was sent as a photo, whichever way it came: an image of its owner, or a reason."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from fluxline.images import ImageRejected
from fluxline_gateway.deps import Gateway
from fluxline_gateway.images.routes import ImageView
from fluxline_gateway.images.store import Image, ImageStore


class RejectedFile(BaseModel):
    """A file that is no photo to train on: `code` for programs, `reason` for people.

    `code` is one of empty_file, too_large, not_an_image, unsupported_format, animated, too_many_pixels, too_small,
    too_complex, truncated; of a direct upload also missing, size_mismatch, checksum_mismatch.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "filename": "preview.jpg",
                    "code": "too_small",
                    "reason": "The image has 400 × 300 pixels; the short side needs at least 512."
                    " Send the original, not a preview.",
                }
            ]
        }
    )

    filename: str
    code: str
    reason: str


class UploadVerdicts(BaseModel):
    """What became of each file, in the order in which they were sent."""

    accepted: list[ImageView]
    rejected: list[RejectedFile]


async def judge(gateway: Gateway, store: ImageStore, owner: str, filename: str, path: Path) -> Image | RejectedFile:
    """Look at a file by its content, and keep it if it is a photo; removes it from `path` then."""
    size_bytes = await asyncio.to_thread(lambda: path.stat().st_size)
    try:
        facts = await gateway.inspections.inspect(path)
    except ImageRejected as error:
        gateway.uploaded.count(size_bytes, error.code)
        return RejectedFile(filename=filename, code=error.code, reason=error.reason)
    image = await store.keep(owner, filename, path, facts)
    gateway.uploaded.count(size_bytes)
    await asyncio.to_thread(path.unlink)
    return image


async def verdicts_of(store: ImageStore, owner: str, judged: Sequence[Image | RejectedFile]) -> UploadVerdicts:
    """The verdicts as they are answered; the images are compared now, for they came in side by side."""
    images = await store.compared(owner, [verdict for verdict in judged if isinstance(verdict, Image)])
    return UploadVerdicts(
        accepted=[ImageView.model_validate(image) for image in images],
        rejected=[verdict for verdict in judged if isinstance(verdict, RejectedFile)],
    )
