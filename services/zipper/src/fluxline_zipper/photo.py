"""One photo, prepared for training: upright, sRGB, opaque, no larger than asked for, and nothing but pixels.

The order is what makes it fast: the JPEG decoder halves what it can, the resizer does the rest, and colours and
orientation are applied to the small picture.
"""

from dataclasses import dataclass
from io import BytesIO
from typing import Final

from PIL import Image, ImageFile

from fluxline.contracts.limits import MAX_IMAGE_PIXELS
from fluxline.image_looks import upright
from fluxline.images import check_size, decode, open_image, orientation
from fluxline_zipper.colour import eight_bit, srgb
from fluxline_zipper.pixel_budget import PixelBudget
from fluxline_zipper.resizing import Box, resized

MIN_LEFT_FOR_LANCZOS: Final = 1.9  # the decoder's halving is a box filter: below this ratio it would cost sharpness
JPEG_QUALITY: Final = 95
JPEG_SUBSAMPLING: Final = "4:2:0"


@dataclass(frozen=True)
class Photo:
    """A prepared photo: a JPEG, and its size in pixels."""

    jpeg: bytes
    width: int
    height: int


def prepare(
    content: bytes, *, longest_side: int, quality: int = JPEG_QUALITY, pixels: PixelBudget | None = None
) -> Photo:
    """The photo as a JPEG whose longest side has at most `longest_side` pixels; smaller photos keep their size.

    Waits until `pixels` has room for its decoded pixels.

    Raises:
        fluxline.images.ImageRejected: the file is not a photo that `fluxline.images.inspect` accepts.
    """
    check_size(len(content))
    with open_image(content) as image:
        full_size, box = _halve_while_decoding(image, longest_side)
        with (pixels or PixelBudget(MAX_IMAGE_PIXELS)).hold(image.width * image.height):
            decode(image)
            turn = orientation(image)
            picture = _fitted(eight_bit(image), full_size or image.size, box, longest_side)
            picture = upright(srgb(picture, image.info.get("icc_profile")), turn)
            return Photo(_jpeg(picture, quality), *picture.size)


def _halve_while_decoding(image: ImageFile.ImageFile, longest_side: int) -> tuple[tuple[int, int] | None, Box | None]:
    """Ask a JPEG's decoder for 1/8, 1/4 or 1/2 of the size where enough is left for LANCZOS.

    Returns the full size and what it becomes in the halved picture (rarely a whole number), or nothing.
    """
    width, height = image.size
    ratio = max(width, height) / longest_side
    scale = next((scale for scale in (8, 4, 2) if ratio / scale >= MIN_LEFT_FOR_LANCZOS), None)
    if scale is None or image.format != "JPEG":
        return None, None
    drafted = image.draft(None, (width // scale, height // scale))
    return (width, height), drafted[1] if drafted else None


def _fitted(image: Image.Image, full_size: tuple[int, int], box: Box | None, longest_side: int) -> Image.Image:
    scale = longest_side / max(full_size)
    if scale >= 1:
        return image
    width, height = (max(1, round(side * scale)) for side in full_size)
    return resized(image, (width, height), box or (0, 0, *image.size))


def _jpeg(image: Image.Image, quality: int) -> bytes:
    image.info.clear()  # a comment or a density would be written along
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=quality, subsampling=JPEG_SUBSAMPLING)
    return buffer.getvalue()
