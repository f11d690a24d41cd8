"""`/v1/images`: an owner's images, their bytes and thumbnails; everybody else's do not exist."""

from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from fluxline.contracts.errors import ErrorCategory
from fluxline.contracts.job import Caption
from fluxline.storage.signing import content_disposition
from fluxline_gateway.deps import Deps, Gateway, Owner
from fluxline_gateway.errors import ApiError, NotFound, problems
from fluxline_gateway.examples import CREATED_AT, IMAGE_IDS, SHA256
from fluxline_gateway.images.near_duplicates import NEAR_DUPLICATE, warning
from fluxline_gateway.images.store import MEDIA_TYPES, Image, ImageInUse, ImageStore
from fluxline_gateway.pages import DEFAULT_LIMIT, Cursor, Limit, Page, decode_cursor, page_of
from fluxline_gateway.streaming import stored_file

router = APIRouter(prefix="/v1/images", tags=["images"])
NO_NUL = r"^[^\x00]*$"
"""PostgreSQL's text holds every character but this."""
EXAMPLE: Final[dict[str, Any]] = {
    "id": IMAGE_IDS[0],
    "filename": "ada-in-the-garden.jpg",
    "width": 3024,
    "height": 4032,
    "size_bytes": 3_812_604,
    "format": "jpeg",
    "sha256": SHA256,
    "caption": "ADATOK in a garden, smiling",
    "warnings": [warning("ada-in-the-garden-2.jpg")],
    "warning_codes": [NEAR_DUPLICATE],
    "near_duplicates": [IMAGE_IDS[1]],
    "created_at": CREATED_AT,
}
PRIVATE_FOR_EVER = {"Cache-Control": "private, max-age=31536000, immutable"}
NO_SUCH_IMAGE: Final = problems(_404="There is no such image")
_FILE: Final = NO_SUCH_IMAGE | problems(_416="The range lies outside of the file")


class ImageView(BaseModel):
    """An accepted image; width and height in pixels as seen upright, `format` is that of the content.

    `warnings` are sentences for people, `warning_codes` the same for programs: extreme_aspect_ratio, blurry, dark,
    low_contrast, near_duplicate. `near_duplicates` are the owner's other images that look alike.
    """

    model_config = ConfigDict(from_attributes=True, json_schema_extra={"examples": [EXAMPLE]})

    id: UUID
    filename: str
    width: int
    height: int
    size_bytes: int
    format: str
    sha256: str
    caption: str | None
    warnings: list[str]
    warning_codes: list[str]
    near_duplicates: list[UUID]
    created_at: datetime


class ImageChange(BaseModel):
    """What an image shows, in words that are trained along with it; null or nothing leaves that to fluxline.

    It is used in the trainings that name no other caption for the image.
    """

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"caption": EXAMPLE["caption"]}]})

    caption: Annotated[Caption, Field(pattern=NO_NUL)] | None


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
    return page_of(
        request, response, found, limit, ImageView.model_validate, lambda image: (image.created_at, image.id)
    )


async def owned_image(image_id: UUID, store: Store, owner: Owner) -> Image:
    """The image of the path, if it is the owner's; otherwise the request is answered with 404."""
    image = await store.find(owner.owner, image_id)
    if image is None:
        raise NotFound("Image")
    return image


OwnedImage = Annotated[Image, Depends(owned_image)]


@router.get("/{image_id:uuid}", operation_id="get_image", responses=NO_SUCH_IMAGE)
async def get_image(image: OwnedImage) -> ImageView:
    """One image's facts."""
    return ImageView.model_validate(image)


@router.patch("/{image_id:uuid}", operation_id="update_image", responses=NO_SUCH_IMAGE)
async def update_image(image_id: UUID, body: ImageChange, store: Store, owner: Owner) -> ImageView:
    """Say what an image shows, for trainings that name no other caption for it."""
    image = await store.describe(owner.owner, image_id, body.caption or None)
    if image is None:
        raise NotFound("Image")
    return ImageView.model_validate(image)


@router.get("/{image_id:uuid}/content", operation_id="get_image_content", response_class=Response, responses=_FILE)
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


@router.get("/{image_id:uuid}/thumbnail", operation_id="get_image_thumbnail", response_class=Response, responses=_FILE)
async def get_image_thumbnail(request: Request, gateway: Deps, store: Store, image: OwnedImage) -> Response:
    """A JPEG of at most 512 px on its longest side, upright; made when it is first asked for."""
    stored = await gateway.storage.stat(image.thumbnail_key)
    size_bytes = stored.size_bytes if stored else await _make_thumbnail(gateway, store, image)
    return await stored_file(
        request,
        gateway.storage,
        image.thumbnail_key,
        size_bytes,
        media_type="image/jpeg",
        etag=f"{image.sha256}-thumbnail",
        headers=PRIVATE_FOR_EVER,
    )


@router.delete(
    "/{image_id:uuid}",
    status_code=204,
    operation_id="delete_image",
    responses=NO_SUCH_IMAGE | problems(_409="A training that has not ended needs the image"),
)
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


async def _make_thumbnail(gateway: Gateway, store: ImageStore, image: Image) -> int:
    """Its size in bytes, once it is stored; raises `NotFound`, and leaves none, if the image was deleted meanwhile."""
    async with gateway.inspections.thumbnails:
        with TemporaryDirectory(prefix="fluxline-thumbnail-") as folder:
            original, small = Path(folder, "original"), Path(folder, "small")
            await gateway.storage.get(image.storage_key, original)
            await gateway.inspections.thumbnail(original, small)
            stored = await gateway.storage.put(image.thumbnail_key, small, content_type="image/jpeg")
    if not await store.stays(image.owner, image.id):
        await gateway.storage.delete(image.thumbnail_key)
        raise NotFound("Image")
    return stored.size_bytes
