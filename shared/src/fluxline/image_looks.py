"""How a photo looks, told from a small grey copy of it: sharp or blurred, dark or flat, and like which other photos.

The thresholds are calibrated on the sample photos and on procedural ones, sharp and blurred, re-encoded and cropped.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from PIL import Image, ImageFilter, ImageStat

COPY_SIDE_PX: Final = 480
"""The longest side of the copy: about half of what a training sees, and an eighth of a phone's photo."""
MAX_ASPECT_RATIO: Final = 3.0
BLURRY_BELOW: Final = 20.0
"""Sharpness; sharp photos have more than 100, blurred by a Gaussian of 2 px of the copy fewer than 20."""
DARK_BELOW: Final = 64
"""The brightness (0 to 255) that nine tenths of a dark photo's pixels do not reach."""
LOW_CONTRAST_BELOW: Final = 48
"""The span of brightness of a photo's pixels without the darkest and the brightest fiftieth."""
NEAR_DUPLICATE_BITS: Final = 14
"""In how many of 128 bits photos may differ to look alike: re-encoded ones differ in up to 8, others in 33 or more."""

_LAPLACIAN: Final = ImageFilter.Kernel((3, 3), (0, 1, 0, 1, -4, 1, 0, 1, 0), scale=1, offset=128)
_TILES: Final = 6
"""A side's; the fourth sharpest of the 36 counts, so that a sharp face before a soft background is sharp."""
_TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ADVICE: Final = {
    "blurry": "The photo is blurry all over. Send a sharper one: the training learns the blur as well.",
    "dark": "The photo is very dark. Send a brighter one, or brighten it: details in the dark are not learned.",
    "low_contrast": "The photo has hardly any contrast. Send a clearer one, or raise its contrast.",
}


@dataclass(frozen=True)
class Looks:
    """`sharpness` is the variance of a Laplacian where it is high; `perceptual_hash` has 16 bytes; `codes` its faults.

    Photos look alike when their hashes differ in at most `NEAR_DUPLICATE_BITS` bits. `codes` are of blurry, dark
    and low_contrast.
    """

    sharpness: float
    perceptual_hash: bytes
    codes: tuple[str, ...]


def upright(picture: Image.Image, orientation: int) -> Image.Image:
    """The picture turned as its EXIF orientation (1 to 8) says."""
    turn = _TURNS.get(orientation)
    return picture if turn is None else picture.transpose(turn)


def looks_of(image: Image.Image, orientation: int) -> Looks:
    """How a decoded picture looks, once turned as its EXIF orientation says (1 to 8). Memory: 2 MB."""
    copy = upright(_grey_copy(image), orientation)
    sharpness = _sharpness(copy)
    return Looks(sharpness, perceptual_hash(copy), _codes(copy, sharpness))


def advice_for(width: int, height: int, codes: Iterable[str]) -> dict[str, str]:
    """What is wrong with an upright photo of that size and those codes, and what to do: texts by code."""
    advice = {code: _ADVICE[code] for code in codes}
    ratio = max(width, height) / min(width, height)
    if ratio > MAX_ASPECT_RATIO:
        advice["extreme_aspect_ratio"] = (
            f"The image is {ratio:.1f} times as long as it is wide; training works best below {MAX_ASPECT_RATIO:.0f}."
            " Consider cropping it to the subject."
        )
    return advice


def perceptual_hash(grey: Image.Image) -> bytes:
    """64 bits for what is brighter than its right neighbour, 64 for its lower one, on a grid of 8 × 8 (dHash).

    It stays nearly the same when a photo is scaled, saved anew, or made a little brighter.
    """
    bits = 0
    for width, height, step in ((9, 8, 1), (8, 9, 8)):
        small = grey.resize((width, height), Image.Resampling.BOX).tobytes()
        for start in (y * width + x for y in range(8) for x in range(8)):
            bits = bits << 1 | (small[start] > small[start + step])
    return bits.to_bytes(16, "big")


def _grey_copy(image: Image.Image) -> Image.Image:
    """At most `COPY_SIDE_PX` long, whatever the mode; transparency on white; an extreme strip is made wider.

    Of modes that cannot be averaged as they are, or only in a second copy of all pixels, every nth pixel is taken.
    """
    ratio = COPY_SIDE_PX / max(image.size)
    width, height = (max(2 * _TILES, round(side * min(1.0, ratio))) for side in image.size)
    if image.mode not in ("L", "RGB", "CMYK"):
        image = _plain(image.resize((2 * width, 2 * height), Image.Resampling.NEAREST))
    elif (factor := int(0.5 / ratio)) > 1:
        image = image.reduce(factor)
    return image.convert("L").resize((width, height), Image.Resampling.HAMMING)


def _plain(image: Image.Image) -> Image.Image:
    """Sixteen-bit greys scaled to eight, where Pillow's own conversion would clip them; what shows through is white."""
    if image.mode.startswith("I"):
        return image.convert("I").point(lambda value: value / 257).convert("L")
    if image.mode == "LAB":
        return image.getchannel("L")
    if not image.has_transparency_data:
        return image
    image = image.convert("RGBA")
    canvas = Image.new("RGB", image.size, "white")
    canvas.paste(image, mask=image.getchannel("A"))
    return canvas


def _sharpness(grey: Image.Image) -> float:
    edges = grey.filter(_LAPLACIAN).crop((1, 1, grey.width - 1, grey.height - 1))  # Pillow leaves the rim unfiltered
    across, down = ([side * n // _TILES for n in range(_TILES + 1)] for side in edges.size)
    tiles = [edges.crop((x, y, right, low)) for y, low in pairwise(down) for x, right in pairwise(across)]
    return sorted(ImageStat.Stat(tile).var[0] for tile in tiles)[-4]


def _codes(grey: Image.Image, sharpness: float) -> tuple[str, ...]:
    """A picture without light or contrast has no edges either: it is not called blurry as well."""
    histogram, pixels = grey.histogram(), grey.width * grey.height
    if _brightness_at(histogram, pixels * 0.9) < DARK_BELOW:
        return ("dark",)
    if _brightness_at(histogram, pixels * 0.98) - _brightness_at(histogram, pixels * 0.02) < LOW_CONTRAST_BELOW:
        return ("low_contrast",)
    return ("blurry",) if sharpness < BLURRY_BELOW else ()


def _brightness_at(histogram: list[int], pixels: float) -> int:
    """The brightness that so many pixels do not exceed."""
    seen = 0
    for brightness, count in enumerate(histogram):
        seen += count
        if seen >= pixels:
            return brightness
    return 255
