"""How an upload is asked for and shown."""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any, Final, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, field_validator

from fluxline.contracts.limits import MAX_FILENAME_CHARS, MAX_IMAGE_BYTES
from fluxline.storage import Storage
from fluxline_gateway.errors import number
from fluxline_gateway.examples import EXPIRES_AT, SHA256, UPLOAD_ID
from fluxline_gateway.images.routes import EXAMPLE as IMAGE_EXAMPLE
from fluxline_gateway.images.routes import ImageView
from fluxline_gateway.images.store import Image
from fluxline_gateway.images.upload_completion import rejection_of
from fluxline_gateway.images.upload_store import Upload, UploadFile
from fluxline_gateway.images.uploads import MAX_UPLOAD_FILES, display_name
from fluxline_gateway.images.verdicts import RejectedFile

_NEW: Final[dict[str, Any]] = {"filename": "ada-at-the-sea.jpg", "size_bytes": 4_211_907}
_KNOWN: Final[dict[str, Any]] = {name: IMAGE_EXAMPLE[name] for name in ("filename", "size_bytes")}
_FILE_EXAMPLES: Final[list[Any]] = [
    _NEW
    | {
        "number": 1,
        "url": f"https://storage.example.com/incoming/ada/{UPLOAD_ID}/1?signature=5d41402a",
        "method": "PUT",
        "headers": {"Content-Length": str(_NEW["size_bytes"])},
        "received": False,
        "image": None,
        "rejected": None,
    },
    _KNOWN
    | {
        "number": 2,
        "url": None,
        "method": "PUT",
        "headers": {},
        "received": True,
        "image": IMAGE_EXAMPLE,
        "rejected": None,
    },
]


class ImageUploadFileIn(BaseModel):
    """A photo that will be sent: its exact size, and its SHA-256 in hex where the client can compute it."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_KNOWN | {"sha256": SHA256}]})

    filename: str = Field(min_length=1, max_length=MAX_FILENAME_CHARS)
    size_bytes: int = Field(ge=1, le=MAX_IMAGE_BYTES)
    sha256: str | None = Field(None, pattern=r"^[0-9a-f]{64}$")

    @field_validator("size_bytes", mode="before")
    @classmethod
    def _is_a_number(cls, value: object) -> object:
        return number(value)

    @field_validator("filename")
    @classmethod
    def _can_be_shown(cls, value: str) -> str:
        return display_name(value)


class ImageUploadIn(BaseModel):
    """The photos that will be sent; an image of the owner's that is known by its `sha256` need not be."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"files": [_NEW, _KNOWN | {"sha256": SHA256}]}]}
    )

    files: list[ImageUploadFileIn] = Field(min_length=1, max_length=MAX_UPLOAD_FILES)


class ImageUploadFileView(BaseModel):
    """A file of an upload, numbered from 1 in the order in which they were announced.

    Send exactly `size_bytes` as the body of one request: `method` to `url` with `headers`, and without an API key. It
    may be repeated. `received` says that nothing needs to be sent: the file has arrived, or it is an `image` already
    (then `url` is null). `rejected` says why what was sent before became no image.
    """

    model_config = ConfigDict(json_schema_extra={"examples": _FILE_EXAMPLES})

    number: int
    filename: str
    size_bytes: int
    url: str | None
    method: Literal["PUT"] = "PUT"
    headers: dict[str, str]
    received: bool
    image: ImageView | None
    rejected: RejectedFile | None


class ImageUploadView(BaseModel):
    """An upload: send its files, then complete it. It is open, and its links work, until `expires_at`."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"id": UPLOAD_ID, "expires_at": EXPIRES_AT, "files": _FILE_EXAMPLES}]}
    )

    id: UUID
    expires_at: datetime
    files: list[ImageUploadFileView]


def upload_view(
    storage: Storage, upload: Upload, images: Mapping[UUID, Image], arrived: Collection[str] = ()
) -> ImageUploadView:
    """An upload with fresh links; `arrived` are the keys that the storage holds."""
    left_s = max(1, int((upload.expires_at - datetime.now(UTC)).total_seconds()))

    def shown(file: UploadFile) -> ImageUploadFileView:
        image = images.get(file.image_id) if file.image_id else None
        return ImageUploadFileView(
            number=file.number,
            filename=file.filename,
            size_bytes=file.size_bytes,
            url=None if image else _link(storage, file, left_s),
            headers={} if image else {"Content-Length": str(file.size_bytes)},
            received=image is not None or file.storage_key in arrived,
            image=ImageView.model_validate(image) if image else None,
            rejected=rejection_of(file) if file.code and not image else None,
        )

    return ImageUploadView(id=upload.id, expires_at=upload.expires_at, files=[*map(shown, upload.files)])


def _link(storage: Storage, file: UploadFile, expires_s: int) -> str:
    return storage.signed_url(file.storage_key, method="PUT", expires_s=expires_s, size_bytes=file.size_bytes)
