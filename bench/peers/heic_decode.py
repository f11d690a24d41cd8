"""The floor of HEIC: libheif's decoding alone.  python heic_decode.py THREADS FILES..."""

import sys
from concurrent.futures import ThreadPoolExecutor

import pillow_heif
from own_cost import told


def decode(path: str) -> None:
    """All pixels of the first picture."""
    pillow_heif.open_heif(path)[0].data  # noqa: B018  # decodes


list(map(decode, sys.argv[2:7]))  # warm up
with told(), ThreadPoolExecutor(int(sys.argv[1])) as threads:
    list(threads.map(decode, sys.argv[2:]))
