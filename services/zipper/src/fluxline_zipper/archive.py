"""The archive a trainer opens: `image_001.jpg`, `image_001.txt`, …; written to be reproducible, re-opened to be sure.

The same photos and captions give the same bytes, so a rebuilt archive has the sha256 of the first one.
"""

import hashlib
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final, cast

from PIL.JpegImagePlugin import JpegImageFile

from fluxline.contracts.errors import ErrorCategory, FluxlineError
from fluxline.contracts.limits import MAX_CAPTION_CHARS, MAX_IMAGE_BYTES
from fluxline.images import ImageLimits, ImageRejected, decode, open_image

_EPOCH: Final = (1980, 1, 1, 0, 0, 0)  # the earliest a ZIP can say
_REGULAR_FILE: Final = 0o100644 << 16
_UNIX: Final = 3
_MAX_CAPTION_BYTES: Final = 4 * MAX_CAPTION_CHARS
_PIXELS_ONLY: Final = {"APP0"}  # the JFIF header; EXIF, XMP, ICC, IPTC and comments are in other segments
_STORED_PHOTO: Final = ImageLimits(formats=("jpeg",), min_short_side_px=1)


@dataclass(frozen=True)
class PreparedPhoto:
    """A photo as `photo.prepare` made it, and what it shows."""

    jpeg: bytes
    caption: str | None = None


@dataclass(frozen=True)
class ArchiveFacts:
    """A verified archive; `sha256` in hex."""

    size_bytes: int
    sha256: str
    image_count: int
    caption_count: int


class ArchiveInvalid(FluxlineError):
    """The archive is not what a trainer can open."""

    category: ClassVar[ErrorCategory] = ErrorCategory.FILE_ERROR
    hint = "Retry the training: the archive is then built again from the uploaded photos."


def build(photos: Iterable[PreparedPhoto], target: Path) -> None:
    """Write the archive, holding one photo in memory at a time. JPEG does not deflate: entries are stored."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for number, photo in enumerate(photos, start=1):
            archive.writestr(_entry(f"image_{number:03d}.jpg"), photo.jpeg)
            if photo.caption and (caption := photo.caption.strip()):
                archive.writestr(_entry(f"image_{number:03d}.txt"), caption.encode("utf-8", "replace"))


def verify(path: Path, *, image_count: int, longest_side: int) -> ArchiveFacts:
    """Open the archive as a trainer will, decode every image, and state the facts.

    Raises:
        ArchiveInvalid: names, number, checksums, sizes, format or metadata are not as `build` writes them.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            captions = _check_names(archive.namelist(), image_count)
            for entry in archive.infolist():
                _check_entry(archive, entry, longest_side)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise ArchiveInvalid(f"The archive cannot be opened: {error}.") from error
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return ArchiveFacts(path.stat().st_size, sha256, image_count, captions)


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.create_system = _UNIX
    entry.external_attr = _REGULAR_FILE
    return entry


def _check_names(names: list[str], image_count: int) -> int:
    """Exactly the generated names, each once, every caption beside its image; returns the number of captions."""
    images = [f"image_{number:03d}.jpg" for number in range(1, image_count + 1)]
    captions = [name for name in names if name.endswith(".txt")]
    if sorted(set(names) - set(captions)) != sorted(images) or len(names) != len(set(names)):
        raise ArchiveInvalid(
            f"The archive should hold {image_count} images and their captions.", found=names, expected=images
        )
    orphans = [name for name in captions if name.removesuffix(".txt") + ".jpg" not in images]
    if orphans:
        raise ArchiveInvalid("The archive holds captions without an image.", found=orphans)
    return len(captions)


def _check_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, longest_side: int) -> None:
    limit = MAX_IMAGE_BYTES if entry.filename.endswith(".jpg") else _MAX_CAPTION_BYTES
    if not 0 < entry.file_size <= limit:
        raise ArchiveInvalid(
            f"{entry.filename} has {entry.file_size} bytes; 1 to {limit} are allowed.", entry=entry.filename
        )
    content = archive.read(entry)  # checks the CRC
    if entry.filename.endswith(".jpg"):
        _check_photo(entry.filename, content, longest_side)
    else:
        _check_caption(entry.filename, content)


def _check_photo(name: str, content: bytes, longest_side: int) -> None:
    try:
        with open_image(content, limits=_STORED_PHOTO) as image:
            segments = {segment for segment, _ in cast(JpegImageFile, image).applist}
            mode, size = image.mode, image.size
            image.draft("L", (1, 1))  # all of its bytes, but only an eighth of each side: damage shows just as well
            decode(image)
    except ImageRejected as rejected:
        raise ArchiveInvalid(f"{name} is not a JPEG that can be decoded: {rejected.reason}", entry=name) from rejected
    if mode != "RGB" or max(size) > longest_side:
        raise ArchiveInvalid(
            f"{name} is {mode}, {size[0]} × {size[1]} pixels; RGB of at most {longest_side} is allowed.", entry=name
        )
    if metadata := sorted(segments - _PIXELS_ONLY):
        raise ArchiveInvalid(f"{name} still carries metadata: {', '.join(metadata)}.", entry=name)


def _check_caption(name: str, content: bytes) -> None:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ArchiveInvalid(f"{name} is not UTF-8.", entry=name) from error
