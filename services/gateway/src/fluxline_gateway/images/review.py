"""`POST /v1/images/review`: a look at the images of a training before it is asked for. Nothing is stored."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from statistics import median
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from fluxline.contracts.limits import MAX_IMAGES, MIN_IMAGES
from fluxline.image_looks import NEAR_DUPLICATE_BITS
from fluxline_gateway.deps import Owner
from fluxline_gateway.errors import FieldError, InvalidFields, problems
from fluxline_gateway.examples import IMAGE_IDS
from fluxline_gateway.images.near_duplicates import NEAR_DUPLICATE, distance, warning
from fluxline_gateway.images.routes import Store
from fluxline_gateway.images.store import Image

router = APIRouter(prefix="/v1/images", tags=["images"])
LOW_VARIETY_BITS: Final = 32
"""Of 128: photos of different places differ in 64 by the median, the same one cropped a little in 17."""


def _distinct(ids: list[UUID]) -> list[UUID]:
    if len(set(ids)) != len(ids):
        raise ValueError("must hold every image once: remove the repeated ids")
    return ids


def _example_image(number: int, twin: int | None = None) -> dict[str, Any]:
    return {
        "id": IMAGE_IDS[number],
        "filename": f"ada-{number}.jpg",
        "caption": f"ADATOK, photo {number}",
        "warnings": [] if twin is None else [warning(f"ada-{twin}.jpg")],
        "warning_codes": [] if twin is None else [NEAR_DUPLICATE],
        "near_duplicates": [] if twin is None else [IMAGE_IDS[twin]],
    }


class ReviewIn(BaseModel):
    """The images that a training is meant to have."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"image_ids": list(IMAGE_IDS)}]})

    image_ids: Annotated[list[UUID], AfterValidator(_distinct)] = Field(min_length=1, max_length=MAX_IMAGES)


class ReviewedImage(BaseModel):
    """What is said of one image within its set: `near_duplicates` are those of the set that look alike."""

    model_config = ConfigDict(json_schema_extra={"examples": [_example_image(0, 1)]})

    id: UUID
    filename: str
    caption: str | None
    warnings: list[str]
    warning_codes: list[str]
    near_duplicates: list[UUID]


_EXAMPLE: Final[dict[str, Any]] = {
    "images": [_example_image(0, 1), _example_image(1, 0), *map(_example_image, (2, 3, 4))],
    "warnings": ["2 of the 5 images look almost like another one of the set. Keep one of each: that leaves 4."],
    "warning_codes": ["near_duplicates"],
    "ready": False,
}


class Review(BaseModel):
    """What is said of each image, in the order asked for, and of the set.

    `warning_codes` of the set are too_few_images, near_duplicates and low_variety. `ready` is false for a set that
    would be refused, or whose training would be a waste because too few of its images differ.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    images: list[ReviewedImage]
    warnings: list[str]
    warning_codes: list[str]
    ready: bool


@router.post("/review", operation_id="review_images", responses=problems(_422="An image is not one of yours"))
async def review_images(body: ReviewIn, store: Store, owner: Owner) -> Review:
    """Say whether images make a good training: which are alike, blurry or dark, and whether they are enough."""
    found = await store.find_several(owner.owner, body.image_ids)
    missing = [
        FieldError(field=f"image_ids.{place}", message=f"{image_id} is not one of your images")
        for place, image_id in enumerate(body.image_ids)
        if image_id not in found
    ]
    if missing:
        raise InvalidFields(*missing, hint="Upload the images with POST /v1/images and use the ids it answers.")
    return review([found[image_id] for image_id in body.image_ids])


def review(images: Sequence[Image]) -> Review:
    """What is to be said of a set."""
    alike = _alike(images)
    distinct = _distinct_count(alike)
    advice: dict[str, str] = {}
    if len(images) < MIN_IMAGES:
        advice["too_few_images"] = (
            f"A training needs at least {MIN_IMAGES} images, and these are {len(images)}. Add more."
        )
    if doubled := sum(map(bool, alike.values())):
        advice["near_duplicates"] = (
            f"{doubled} of the {len(images)} images look almost like another one of the set."
            f" Keep one of each: that leaves {distinct}."
        )
    elif _is_monotonous(images):
        advice["low_variety"] = (
            "The images are all much like each other. Add some from other sides, in other places and in other light:"
            " what never changes is learned as a part of the subject."
        )
    return Review(
        images=[_reviewed(image, alike[image.id], images) for image in images],
        warnings=list(advice.values()),
        warning_codes=list(advice),
        ready=distinct >= MIN_IMAGES,
    )


def _reviewed(image: Image, alike: Sequence[UUID], images: Sequence[Image]) -> ReviewedImage:
    said = {
        code: text for code, text in zip(image.warning_codes, image.warnings, strict=True) if code != NEAR_DUPLICATE
    }
    if alike:
        said[NEAR_DUPLICATE] = warning(next(other.filename for other in images if other.id == alike[0]))
    return ReviewedImage(
        id=image.id,
        filename=image.filename,
        caption=image.caption,
        warnings=list(said.values()),
        warning_codes=list(said),
        near_duplicates=list(alike),
    )


def _alike(images: Sequence[Image]) -> Mapping[UUID, list[UUID]]:
    """The ids of those that look alike, the most alike first, by id."""
    alike: dict[UUID, list[tuple[int, UUID]]] = {image.id: [] for image in images}
    for one, other in combinations(images, 2):
        bits = _distance(one, other)
        if bits is not None and bits <= NEAR_DUPLICATE_BITS:
            alike[one.id].append((bits, other.id))
            alike[other.id].append((bits, one.id))
    return {image_id: [other for _, other in sorted(others)] for image_id, others in alike.items()}


def _distinct_count(alike: Mapping[UUID, Sequence[UUID]]) -> int:
    """How many are left when of those that look alike one is kept."""
    dropped: set[UUID] = set()
    for image_id, others in alike.items():
        if image_id not in dropped:
            dropped.update(others)
    return len(alike) - len(dropped)


def _is_monotonous(images: Sequence[Image]) -> bool:
    known = [bits for one, other in combinations(images, 2) if (bits := _distance(one, other)) is not None]
    return bool(known) and median(known) < LOW_VARIETY_BITS


def _distance(one: Image, other: Image) -> int | None:
    """None when it is not known."""
    if one.perceptual_hash is None or other.perceptual_hash is None:
        return None
    return distance(one.perceptual_hash, other.perceptual_hash)
