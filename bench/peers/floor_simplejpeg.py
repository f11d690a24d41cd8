"""The floor of the archive stage where no C compiler is at hand: libjpeg-turbo as simplejpeg brings it along.

python floor_simplejpeg.py SIDE THREADS FILES...
"""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import simplejpeg
from own_cost import told


def convert(path: str) -> None:
    """Decode at the scale that leaves enough for a resizer, and encode as many pixels as the result has."""
    content = Path(path).read_bytes()
    height, width, _, _ = simplejpeg.decode_jpeg_header(content)
    scale = 1
    while scale < 8 and max(width, height) / (2 * scale * side) >= 1.9:
        scale *= 2
    pixels = simplejpeg.decode_jpeg(content, "RGB", min_height=height // scale, min_width=width // scale)
    small = pixels[: height * side // max(width, height), : width * side // max(width, height)].copy()
    simplejpeg.encode_jpeg(small, quality=95, colorspace="RGB", colorsubsampling="420")


side = int(sys.argv[1])
list(map(convert, sys.argv[3:8]))  # warm up
with told(), ThreadPoolExecutor(int(sys.argv[2])) as threads:
    list(threads.map(convert, sys.argv[3:]))
