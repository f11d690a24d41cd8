"""`/v1/images`: an owner's images, their bytes and thumbnails; everybody else's do not exist."""

import asyncio
from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict

from fluxline.contracts.errors import ErrorCategory
from fluxline.contracts.limits import MAX_IMAGE_BYTES
from fluxline.storage.signing import content_disposition
from fluxline_gateway.deps import Deps, Gateway, Owner
from fluxline_gateway.errors import ApiError, NotFound
from fluxline_gateway.image_store import MEDIA_TYPES, Image, ImageInUse, ImageStore
from fluxline_gateway.pages import DEFAULT_LIMIT, Cursor, Limit, Page, decode_cursor, encode_cursor, link_next
from fluxline_gateway.streaming import stored_file
from fluxline_gateway.thumbnails import thumbnail

router = APIRouter(prefix="/v1/images", tags=["images"])
PRIVATE_FOR_EVER = {"Cache-Control": "private, max-age=31536000, immutable"}


class ImageView(BaseModel):
    """An accepted image; width and height in pixels as seen upright, `format` is that of the content."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    filename: str
    width: int
    height: int
    size_bytes: int
    format: str
    sha256: str
    warnings: list[str]
    created_at: datetime


def image_store(gateway: Deps) -> ImageStore:
    """The process's images."""
    return ImageStore(gateway.database, gateway.storage)


Store = Annotated[ImageStore, Depends(image_store)]


@router.get("", operation_id="list_images")
async def list_images(
    request: Request,
    response: Response,
    store: Store,
    owner: Owner,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Page[ImageView]:
    """The images, newest first."""
    found = await store.page(owner.owner, decode_cursor(cursor), limit + 1)
    items = found[:limit]
    more = encode_cursor((items[-1].created_at, items[-1].id)) if len(found) > limit else None
    link_next(request, response, more)
    return Page(items=[ImageView.model_validate(image) for image in items], next_cursor=more)


async def owned_image(image_id: UUID, store: Store, owner: Owner) -> Image:
    """The image of the path, if it is the owner's; otherwise the request is answered with 404."""
    image = await store.find(owner.owner, image_id)
    if image is None:
        raise NotFound("Image")
    return image


OwnedImage = Annotated[Image, Depends(owned_image)]


@router.get("/{image_id}", operation_id="get_image")
async def get_image(image: OwnedImage) -> ImageView:
    """One image's facts."""
    return ImageView.model_validate(image)


@router.get("/{image_id}/content", operation_id="get_image_content", response_class=Response)
async def get_image_content(request: Request, gateway: Deps, image: OwnedImage) -> Response:
    """The image as it was uploaded."""
    disposition = content_disposition(image.filename).replace("attachment", "inline", 1)
    return await stored_file(
        request,
        gateway.storage,
        image.storage_key,
        image.size_bytes,
        media_type=MEDIA_TYPES[image.format],
        etag=image.sha256,
        headers={**PRIVATE_FOR_EVER, "Content-Disposition": disposition},
    )


@router.get("/{image_id}/thumbnail", operation_id="get_image_thumbnail", response_class=Response)
async def get_image_thumbnail(request: Request, gateway: Deps, image: OwnedImage) -> Response:
    """A JPEG of at most 512 px on its longest side, upright; made when it is first asked for."""
    stored = await gateway.storage.stat(image.thumbnail_key)
    size_bytes = stored.size_bytes if stored else await _make_thumbnail(gateway, image)
    return await stored_file(
        request,
        gateway.storage,
        image.thumbnail_key,
        size_bytes,
        media_type="image/jpeg",
        etag=f"{image.sha256}-thumbnail",
        headers=PRIVATE_FOR_EVER,
    )


@router.delete("/{image_id}", status_code=204, operation_id="delete_image")
async def delete_image(image_id: UUID, store: Store, owner: Owner) -> None:
    """Delete an image and its bytes; refused while a training that has not ended needs it."""
    try:
        found = await store.remove(owner.owner, image_id)
    except ImageInUse as error:
        raise ApiError(
            409,
            "Image in use",
            category=ErrorCategory.VALIDATION,
            hint="Wait until the training that uses it has ended, then delete it.",
        ) from error
    if not found:
        raise NotFound("Image")


async def _make_thumbnail(gateway: Gateway, image: Image) -> int:
    content = await gateway.storage.read(image.storage_key, max_bytes=MAX_IMAGE_BYTES)
    async with gateway.inspections:
        small = await asyncio.to_thread(thumbnail, content)
    await gateway.storage.put(image.thumbnail_key, small, content_type="image/jpeg")
    return len(small)
