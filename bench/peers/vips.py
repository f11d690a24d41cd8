"""The archive stage by libvips, which shrinks while it decodes.  python vips.py SIDE ARCHIVE THREADS FILES..."""

import os
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor

os.environ["VIPS_CONCURRENCY"] = "1"  # photos side by side use the cores better than threads within one
import pyvips
from own_cost import told

side, target, threads, paths = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4:]


def prepared(path: str) -> bytes:
    """Upright, scaled down, without metadata."""
    picture = pyvips.Image.thumbnail(path, side, height=side, size="down")
    return bytes(picture.jpegsave_buffer(Q=95, subsample_mode="on", keep="none"))


list(map(prepared, paths[:5]))  # warm up
with told(), ThreadPoolExecutor(threads) as pool, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
    for number, jpeg in enumerate(pool.map(prepared, paths), start=1):
        archive.writestr(f"image_{number:03d}.jpg", jpeg)
