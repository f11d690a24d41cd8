"""Pictures drawn in place of generated ones: colourful, labelled, and always the same for the same request."""

import hashlib
import io
import textwrap

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_FORMATS = {"png": "PNG", "jpg": "JPEG", "jpeg": "JPEG", "webp": "WEBP"}
MEDIA_TYPES = {"png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "webp": "image/webp"}
_GRID = 6


def draw(prompt: str, seed: int, width: int, height: int, format: str, quality: int = 80) -> bytes:
    """An encoded picture of `width` x `height` pixels, decided by prompt and seed alone.

    `format` is one of png, jpg, jpeg and webp; anything else raises KeyError.
    """
    key = hashlib.sha256(f"{seed}|{prompt}".encode()).digest()
    picture = _background(np.random.default_rng(int.from_bytes(key[:8], "big")), width, height)
    _label(picture, prompt, seed)
    out = io.BytesIO()
    picture.save(out, _FORMATS[format], quality=quality)
    return out.getvalue()


def _background(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """A soft field of colours: a small random grid, blown up smoothly, with a few translucent discs on it."""
    grid = rng.integers(20, 236, size=(_GRID, _GRID, 3), dtype=np.uint8)
    picture = Image.fromarray(grid, "RGB").resize((width, height), Image.Resampling.BICUBIC)
    layer = ImageDraw.Draw(picture, "RGBA")
    for _ in range(7):
        x, y = int(rng.integers(0, width)), int(rng.integers(0, height))
        radius = int(rng.integers(min(width, height) // 16 + 1, min(width, height) // 3 + 2))
        colour = tuple(int(part) for part in rng.integers(90, 256, size=3))
        layer.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(*colour, 70))
    return picture


def _label(picture: Image.Image, prompt: str, seed: int) -> None:
    """Write what the picture stands for along its lower edge."""
    size = max(10, picture.height // 32)
    font = ImageFont.load_default(size)
    per_line = max(8, int(picture.width / (size * 0.55)))
    lines = [*textwrap.wrap(prompt[: 4 * per_line], per_line)[:3], f"sandbox · seed {seed}"]
    text = "\n".join(lines)
    layer = ImageDraw.Draw(picture, "RGBA")
    top = picture.height - int(size * 1.4 * len(lines)) - size
    layer.rectangle((0, top, picture.width, picture.height), fill=(0, 0, 0, 120))
    layer.multiline_text((size, top + size // 2), text, font=font, fill=(255, 255, 255, 235))
