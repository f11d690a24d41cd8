"""Any pixels a photo can hold, to the eight-bit sRGB that a trainer expects."""

import contextlib
import math
from io import BytesIO
from typing import Final

from PIL import Image, ImageCms

_SRGB: Final = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
_PROFILE_SPACES: Final = {"L": "GRAY", "RGB": "RGB ", "CMYK": "CMYK", "LAB": "Lab "}


def eight_bit(image: Image.Image) -> Image.Image:
    """The decoded image as L, RGB, RGBA or CMYK: deep modes scaled by their range, any transparency as alpha."""
    if image.mode in {"I", "F"} or image.mode.startswith("I;"):
        return _scaled(image)
    if image.has_transparency_data:
        return image if image.mode == "RGBA" else image.convert("RGBA")
    if image.mode == "LAB":
        return _transformed(image, ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")))
    if image.mode == "1":
        return image.convert("L")
    return image if image.mode in {"L", "RGB", "CMYK"} else image.convert("RGB")


def srgb(image: Image.Image, icc_profile: bytes | None) -> Image.Image:
    """An `eight_bit` image as opaque RGB: alpha on white, the embedded profile applied where it fits the pixels."""
    if image.mode == "RGBA":
        image = _on_white(image)
    if icc_profile:
        with contextlib.suppress(ImageCms.PyCMSError, OSError, TypeError, ValueError):  # a broken profile is ignored
            image = _transformed(image, ImageCms.ImageCmsProfile(BytesIO(icc_profile)))
    return image if image.mode == "RGB" else image.convert("RGB")


def _transformed(image: Image.Image, profile: ImageCms.ImageCmsProfile) -> Image.Image:
    """The image in sRGB, or as it is when the profile describes other pixels or sRGB itself (most cameras embed it)."""
    described = profile.profile.profile_description or ""
    if profile.profile.xcolor_space != _PROFILE_SPACES[image.mode] or described.startswith("sRGB"):
        return image
    return ImageCms.profileToProfile(image, profile, _SRGB, outputMode="RGB") or image


def _on_white(image: Image.Image) -> Image.Image:
    page = Image.new("RGB", image.size, "white")
    page.paste(image, mask=image.getchannel("A"))
    return page


def _scaled(image: Image.Image) -> Image.Image:
    """A deep grey image as L: black and white where the format has them, not clipped at 255."""
    sixteen_bit = image.mode.startswith("I;")
    deep = image.convert("I") if sixteen_bit else image
    black, white = (0.0, 65535.0) if sixteen_bit else _range(deep)
    factor = 255 / (white - black)
    rounding = 0.5 - black * factor
    return deep.point(lambda value: value * factor + rounding).convert("L")


def _range(image: Image.Image) -> tuple[float, float]:
    """Where black and white lie in a 32-bit image, which does not say: the narrowest customary range that holds it."""
    low, high = (float(value) for value in image.getextrema())  # type: ignore[arg-type]  # one band: two numbers
    if not (math.isfinite(low) and math.isfinite(high)):
        return 0.0, 1.0
    customary = (1.0, 255.0, 65535.0) if image.mode == "F" else (255.0, 65535.0)
    white = next((white for white in customary if low >= 0 and high <= white), None)
    return (0.0, white) if white else (low, max(high, low + 1))
