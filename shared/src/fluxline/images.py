"""The rules for photos, applied in one place: what is accepted, decided by content and never by name.

Nothing is decoded before the header passed, and whatever Pillow or libheif raise leaves here as `ImageRejected`.
"""

import hashlib
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO, ClassVar, Final, Self

from PIL import (
    ExifTags,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)
from pillow_heif import HeifImageFile

from fluxline.contracts.errors import ErrorCategory, FluxlineError
from fluxline.contracts.limits import IMAGE_FORMATS, MAX_IMAGE_BYTES, MAX_IMAGE_PIXELS, MIN_SHORT_SIDE_PX
from fluxline.image_formats import excess, image_format, jpeg_work
from fluxline.image_looks import COPY_SIDE_PX, advice_for, looks_of

MAX_JPEG_SCANS: Final = 100  # a progressive photo has about ten; thousands would keep a decoder busy for hours
MAX_PAINTED_PIXELS: Final = 20 * MAX_IMAGE_PIXELS  # by all scans of a JPEG: about a second's work
MAX_TILE_MARGIN_PX: Final = 1024  # by which a tile of a TIFF may be larger than the picture

# Our own check comes before Pillow's and is the stricter one; Pillow's would warn from 89 megapixels on.
Image.MAX_IMAGE_PIXELS = MAX_IMAGE_PIXELS
# Pillow's complaints about metadata are no verdict; each new one would be printed, and remembered for ever.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")

_OPENERS: Final[dict[str, Callable[[IO[bytes]], ImageFile.ImageFile]]] = {
    "jpeg": JpegImagePlugin.JpegImageFile,  # of an MPO (a phone's gain map, a stereo pair) the first picture: the photo
    "png": PngImagePlugin.PngImageFile,
    "webp": WebPImagePlugin.WebPImageFile,
    "tiff": TiffImagePlugin.TiffImageFile,
    "heic": HeifImageFile,
    "gif": GifImagePlugin.GifImageFile,  # only to tell an animation from a still
}


@dataclass(frozen=True)
class ImageLimits:
    """What an image must satisfy."""

    formats: tuple[str, ...] = IMAGE_FORMATS
    max_bytes: int = MAX_IMAGE_BYTES
    max_pixels: int = MAX_IMAGE_PIXELS
    min_short_side_px: int = MIN_SHORT_SIDE_PX


IMAGE_LIMITS: Final = ImageLimits()


@dataclass(frozen=True)
class ImageFacts:
    """An accepted image: width and height in pixels as seen upright, `sha256` in hex of the file as it is.

    `warnings` are sentences for people, `warning_codes` the same for programs: extreme_aspect_ratio, blurry, dark,
    low_contrast. `sharpness` and `perceptual_hash` are explained at `fluxline.image_looks.Looks`.
    """

    format: str
    width: int
    height: int
    size_bytes: int
    sha256: str
    warnings: tuple[str, ...]
    warning_codes: tuple[str, ...]
    sharpness: float
    perceptual_hash: bytes


class ImageRejected(FluxlineError):
    """The file is not a photo that can be trained on.

    `code` is one of empty_file, too_large, not_an_image, unsupported_format, animated, too_many_pixels, too_small,
    too_complex, truncated; `reason` is a sentence for the person who sent the file.
    """

    category: ClassVar[ErrorCategory] = ErrorCategory.FILE_ERROR
    hint = "Replace this photo, or leave it out."

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason, code=code)
        self.code = code
        self.reason = reason

    def __reduce__(self) -> tuple[type[Self], tuple[str, str]]:
        return type(self), (self.code, self.reason)


def inspect(path: Path, *, limits: ImageLimits = IMAGE_LIMITS) -> ImageFacts:
    """Apply every rule to a file, decoding it to its last row, and state the facts.

    Memory: the file, and 4 bytes a pixel (WebP up to 16; of a baseline JPEG 1 MB, for a small grey copy).

    Raises:
        ImageRejected: the file breaks a rule or cannot be decoded.
    """
    content = read(path, limits=limits)
    with open_image(content, limits=limits) as image:
        width, height = image.size
        if image.format == "JPEG":
            _decode_small(image)
        else:
            decode(image)
            width, height = image.size  # libheif may learn the size only from the pixels
            _check_dimensions(width, height, limits)
        turn = orientation(image)
        with _damage_rejected():
            looks = looks_of(image, turn)
    if turn >= 5:
        width, height = height, width
    advice = advice_for(width, height, looks.codes)
    return ImageFacts(
        format=_recognised(content, limits),
        width=width,
        height=height,
        size_bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        warnings=tuple(advice.values()),
        warning_codes=tuple(advice),
        sharpness=looks.sharpness,
        perceptual_hash=looks.perceptual_hash,
    )


def _decode_small(image: ImageFile.ImageFile) -> None:
    """Decode a JPEG to its last byte, but in grey and no larger than its looks need."""
    scale = min(1.0, COPY_SIDE_PX / max(image.size))
    image.draft("L", (max(1, int(image.width * scale)), max(1, int(image.height * scale))))
    decode(image)


def read(path: Path, *, limits: ImageLimits = IMAGE_LIMITS) -> bytes:
    """The content of a file that is neither empty nor too large.

    Raises:
        ImageRejected: it is empty_file or too_large.
    """
    check_size(path.stat().st_size, limits=limits)
    return path.read_bytes()


def check_size(size_bytes: int, *, limits: ImageLimits = IMAGE_LIMITS) -> None:
    """Of a file that is elsewhere, or in memory already.

    Raises:
        ImageRejected: it is empty_file or too_large.
    """
    if size_bytes == 0:
        raise ImageRejected("empty_file", "The file is empty: it holds 0 bytes. Send it again.")
    if size_bytes > limits.max_bytes:
        raise ImageRejected(
            "too_large",
            f"The file has {size_bytes / 2**20:.1f} MB; at most {limits.max_bytes / 2**20:.0f} MB are accepted."
            " Save it smaller or with a lower quality.",
        )


@contextmanager
def open_image(content: bytes, *, limits: ImageLimits = IMAGE_LIMITS) -> Iterator[ImageFile.ImageFile]:
    """The image whose header satisfies the rules, with no pixel decoded yet (see `decode`).

    Raises:
        ImageRejected: the header breaks a rule or cannot be read.
    """
    format_ = _recognised(content, limits)
    if much := excess(format_, content):
        raise _too_complex(format_, much)
    with _damage_rejected():
        image = _OPENERS[format_](BytesIO(content))
        several = bool(getattr(image, "is_animated", False))
    with image:
        if several:
            raise ImageRejected(
                "animated",
                f"The {format_.upper()} file holds several pictures. Save the one you mean as a single photo.",
            )
        if format_ not in limits.formats:
            raise _unsupported(format_, limits)
        _check_dimensions(*image.size, limits)
        _check_work(image, content)
        if image.format == "JPEG":
            image.decodermaxblock = len(content)  # handed over at once: it is in memory already
        yield image


def decode(image: ImageFile.ImageFile) -> None:
    """Decode all pixels in place.

    Raises:
        ImageRejected: `truncated`, the file is cut off or damaged.
    """
    with _damage_rejected():
        image.load()
        if image.mode in ("P", "PA") and image.palette is None:
            raise ValueError("the pixels are numbers of colours, and there are no colours")


def orientation(image: Image.Image) -> int:
    """The EXIF orientation that still has to be applied, 1–8 (from 5 on, width and height swap); 1 if unreadable.

    Ask after `decode`: TIFF and HEIC are turned upright while they are decoded.
    """
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # a hostile EXIF block raises anything, and is no reason to refuse the pixels
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


@contextmanager
def _damage_rejected() -> Iterator[None]:
    """Decoders raise whatever the damage leads them to: OSError, ValueError, SyntaxError, struct.error, MemoryError."""
    try:
        yield
    except Exception as error:
        raise ImageRejected(
            "truncated", "The file is cut off or damaged and cannot be decoded to its end. Export or transfer it again."
        ) from error


def _recognised(content: bytes, limits: ImageLimits) -> str:
    format_ = image_format(content)
    if format_ is None:
        raise ImageRejected("not_an_image", "The content is not an image, whatever the file is called.")
    if format_ not in _OPENERS:
        raise _unsupported(format_, limits)
    return format_


def _unsupported(format_: str, limits: ImageLimits) -> ImageRejected:
    accepted = ", ".join(name.upper() for name in limits.formats)
    return ImageRejected("unsupported_format", f"{format_.upper()} is not accepted. Convert it to one of: {accepted}.")


def _check_dimensions(width: int, height: int, limits: ImageLimits) -> None:
    if width * height > limits.max_pixels:
        raise ImageRejected(
            "too_many_pixels",
            f"The image claims {width} × {height} pixels, {width * height / 1e6:.0f} megapixels;"
            f" at most {limits.max_pixels / 1e6:.0f} are accepted. Scale it down.",
        )
    if min(width, height) < limits.min_short_side_px:
        raise ImageRejected(
            "too_small",
            f"The image has {width} × {height} pixels; the short side needs at least {limits.min_short_side_px}."
            " Send the original, not a preview.",
        )


def _check_work(image: ImageFile.ImageFile, content: bytes) -> None:
    """Refuse what asks for hours of painting, or for a buffer that has nothing to do with the picture's size."""
    width, height = image.size
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        _, scans = jpeg_work(content)
        if scans > min(MAX_JPEG_SCANS, MAX_PAINTED_PIXELS // (width * height)):
            raise _too_complex("jpeg", f"{scans} scans")
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        sides = (image.tag_v2.get(tag, 0) for tag in (TiffImagePlugin.TILEWIDTH, TiffImagePlugin.TILELENGTH))
        if any(not isinstance(side, int) or side > max(width, height) + MAX_TILE_MARGIN_PX for side in sides):
            raise _too_complex("tiff", "a tile much larger than the picture")


def _too_complex(format_: str, much: str) -> ImageRejected:
    name = format_.upper()
    return ImageRejected("too_complex", f"The {name} has {much}. Save it again as a standard {name}.")
