"""`/v1/images/uploads`: photos that go straight to the storage, by links that take one file each."""

from collections.abc import Iterable
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response

from fluxline.contracts.errors import ErrorCategory
from fluxline.postgres.pool import Connection
from fluxline_gateway.deps import Deps, Owner
from fluxline_gateway.errors import ApiError, NotFound, problems
from fluxline_gateway.idempotency import Created, IdempotencyKey, create_once
from fluxline_gateway.images.routes import ImageView, Store
from fluxline_gateway.images.store import Image, ImageStore
from fluxline_gateway.images.upload_claims import UploadClaimed, claimed
from fluxline_gateway.images.upload_completion import complete, rejection_of, staged_files
from fluxline_gateway.images.upload_store import LIFETIME, Announced, Upload, UploadStore
from fluxline_gateway.images.upload_views import ImageUploadIn, ImageUploadView, upload_view
from fluxline_gateway.images.uploads import UploadSlots
from fluxline_gateway.images.verdicts import UploadVerdicts

router = APIRouter(prefix="/v1/images/uploads", tags=["images"])
MAX_OPEN_UPLOADS: Final = 500
"""Of one owner: what is announced and never completed takes room in the storage for a day."""
_slots = UploadSlots()  # of this process, whose disk it is
_HOURS: Final = int(LIFETIME.total_seconds() / 3600)
_NO_SUCH_UPLOAD: Final = problems(_404="There is no such upload, or it has expired")


def upload_store(gateway: Deps) -> UploadStore:
    """The process's uploads."""
    return UploadStore(gateway.database)


Uploads = Annotated[UploadStore, Depends(upload_store)]


@router.post(
    "",
    status_code=201,
    operation_id="create_image_upload",
    response_model=ImageUploadView,
    responses=problems(_429="Too many uploads of the owner are open, or too many requests"),
)
async def create_image_upload(
    request: Request,
    body: ImageUploadIn,
    gateway: Deps,
    images: Store,
    uploads: Uploads,
    owner: Owner,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Announce photos and get a link for each, which takes exactly this file, straight into the storage."""
    sha256s = [file.sha256 for file in body.files if file.sha256]
    known = await images.find_several(owner.owner, sha256s=sha256s) if sha256s else {}

    async def make(connection: Connection) -> Created:
        if await uploads.count_open(connection, owner.owner) >= MAX_OPEN_UPLOADS:
            raise _too_many()
        upload = await uploads.add(connection, owner.owner, _announced(body, known.values()))
        view = upload_view(gateway.storage, upload, known)
        return Created(f"{router.prefix}/{upload.id}", view.model_dump_json())

    return await create_once(gateway.database, owner.owner, idempotency_key, request, body, make, status=201)


async def owned_upload(upload_id: UUID, uploads: Uploads, owner: Owner) -> Upload:
    """The upload of the path, if it is the owner's and open; otherwise the request is answered with 404."""
    upload = await uploads.find(owner.owner, upload_id)
    if upload is None:
        raise NotFound("Upload")
    if upload.expired:
        raise ApiError(
            404,
            "Upload expired",
            category=ErrorCategory.VALIDATION,
            hint=f"Announce the files again with POST /v1/images/uploads: an upload is open for {_HOURS} hours.",
        )
    return upload


OpenUpload = Annotated[Upload, Depends(owned_upload)]


@router.get("/{upload_id}", operation_id="get_image_upload", responses=_NO_SUCH_UPLOAD)
async def get_image_upload(gateway: Deps, images: Store, upload: OpenUpload) -> ImageUploadView:
    """What has arrived of an upload, with fresh links for what has not."""
    arrived = await staged_files(gateway, upload)
    return upload_view(gateway.storage, upload, await _images_of(images, upload), arrived)


@router.post(
    "/{upload_id}/complete",
    operation_id="complete_image_upload",
    responses=_NO_SUCH_UPLOAD
    | problems(
        _409="Another request is completing the upload",
        _429="Too many uploads of the owner are being completed, or too many requests",
    ),
)
async def complete_image_upload(gateway: Deps, images: Store, uploads: Uploads, upload: OpenUpload) -> UploadVerdicts:
    """Look at the photos that have arrived; they are images then. May be repeated: the verdicts stay the same.

    A file that has not arrived is rejected with the code `missing`: send it, and complete the upload again.
    """
    try:
        with _slots.taken(upload.owner):
            async with claimed(gateway.database, upload.id):
                await complete(gateway, images, uploads, upload)
    except UploadClaimed as error:
        raise ApiError(
            409,
            "Upload being completed",
            category=ErrorCategory.VALIDATION,
            hint="Another request is completing this upload: send it again in a moment.",
            headers={"Retry-After": "2"},
        ) from error
    return await _verdicts(images, await uploads.find(upload.owner, upload.id) or upload)


def _announced(body: ImageUploadIn, known: Iterable[Image]) -> list[Announced]:
    ids = {image.sha256: image.id for image in known}
    return [Announced(file.filename, file.size_bytes, file.sha256, ids.get(file.sha256 or "")) for file in body.files]


async def _verdicts(images: ImageStore, upload: Upload) -> UploadVerdicts:
    """What is stored of the files' fate; the images as they are now."""
    found = await _images_of(images, upload)
    return UploadVerdicts(
        accepted=[ImageView.model_validate(found[file.image_id]) for file in upload.files if file.image_id in found],
        rejected=[rejection_of(file) for file in upload.files if file.image_id not in found],
    )


async def _images_of(images: ImageStore, upload: Upload) -> dict[UUID, Image]:
    ids = [file.image_id for file in upload.files if file.image_id]
    return await images.find_several(upload.owner, ids) if ids else {}


def _too_many() -> ApiError:
    return ApiError(
        429,
        "Too many open uploads",
        category=ErrorCategory.RATE_LIMIT,
        hint=f"Complete those that are open, or wait: an upload that is not completed ends after {_HOURS} hours.",
        detail=f"{MAX_OPEN_UPLOADS} of your uploads wait for files.",
        headers={"Retry-After": "3600"},
    )
