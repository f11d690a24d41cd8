"""The archive stage as it is first written: Pillow, one photo after the other, deflate.

python naive.py SIDE ARCHIVE FILES...
"""

import sys
import zipfile
from io import BytesIO

from own_cost import told
from PIL import Image, ImageOps
from pillow_heif import register_heif_opener

register_heif_opener()
side, target, paths = int(sys.argv[1]), sys.argv[2], sys.argv[3:]


def prepared(path: str) -> bytes:
    """Upright, RGB, scaled down."""
    picture = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    scale = min(1.0, side / max(picture.size))
    size = (round(picture.width * scale), round(picture.height * scale))
    buffer = BytesIO()
    picture.resize(size, Image.Resampling.LANCZOS).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


list(map(prepared, paths[:5]))  # warm up
with told(), zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
    for number, path in enumerate(paths, start=1):
        archive.writestr(f"image_{number:03d}.jpg", prepared(path))
