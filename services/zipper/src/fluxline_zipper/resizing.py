"""LANCZOS resizing: by SIMD where `cykooz-resizer` is installed, by Pillow otherwise, with the same result."""

from PIL import Image

try:
    from cykooz_resizer import CropBox, FilterType, ResizeAlg, ResizeOptions, Resizer

    SIMD = True
except ImportError:  # no wheel for this platform
    SIMD = False

Box = tuple[float, float, float, float]


def resized(image: Image.Image, size: tuple[int, int], box: Box) -> Image.Image:
    """The part of an L, RGB, RGBA or CMYK image inside `box` (left, top, right, bottom) at `size`, in pixels."""
    return resized_by_simd(image, size, box) if SIMD else resized_by_pillow(image, size, box)


def resized_by_simd(image: Image.Image, size: tuple[int, int], box: Box) -> Image.Image:
    """`resized` by cykooz-resizer, which is about ten times as fast; alpha is premultiplied as Pillow does."""
    left, top, right, bottom = box
    lanczos = ResizeAlg.convolution(FilterType.lanczos3)
    target = Image.new(image.mode, size, None)  # not filled: every pixel is written
    options = ResizeOptions(resize_alg=lanczos, crop_box=CropBox(left, top, right - left, bottom - top))
    Resizer().resize_pil(image, target, options)
    return target


def resized_by_pillow(image: Image.Image, size: tuple[int, int], box: Box) -> Image.Image:
    """`resized` by Pillow alone."""
    return image.resize(size, Image.Resampling.LANCZOS, box=box)
