"""Thumbnails: small, upright JPEGs of any accepted image."""

from io import BytesIO

from PIL import Image, ImageOps

from fluxline.images import decode, open_image

LONGEST_SIDE_PX = 512
QUALITY = 82


def thumbnail(content: bytes) -> bytes:
    """A JPEG of at most 512 px on its longest side, upright, transparency on white; no metadata but the colour profile.

    Raises ImageRejected when `content` is not an image that would be accepted.
    """
    with open_image(content) as image:
        image.draft("RGB", (LONGEST_SIDE_PX, LONGEST_SIDE_PX))
        decode(image)
        profile = image.info.get("icc_profile") if image.mode in ("RGB", "RGBA") else None
        small = _eight_bit(ImageOps.exif_transpose(image))
        small.thumbnail((LONGEST_SIDE_PX, LONGEST_SIDE_PX), Image.Resampling.BICUBIC)
        answer = BytesIO()
        _on_white(small).save(answer, "JPEG", quality=QUALITY, icc_profile=profile)
        return answer.getvalue()


def _eight_bit(image: Image.Image) -> Image.Image:
    """Sixteen-bit greys scaled to eight, where Pillow's own conversion would clip them."""
    if image.mode.startswith("I;16") or image.mode == "I":
        return image.convert("I").point(lambda value: value / 257).convert("L")
    if image.mode == "P":
        return image.convert("RGBA")
    return image


def _on_white(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return image.convert("RGB")
    image = image.convert("RGBA")
    canvas = Image.new("RGB", image.size, "white")
    canvas.paste(image, mask=image.getchannel("A"))
    return canvas
