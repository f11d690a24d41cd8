"""Both looks that fluxline takes at a photo, the gateway's and the zipper's, as a trial for a child process."""

import os
import random
from collections.abc import Callable
from pathlib import Path

from fluxline.images import ImageRejected, inspect
from fluxline_zipper.photo import prepare
from fuzz import image_decoys
from fuzz.child import Judged
from fuzz.image_files import bases, image_file

SEED = int(os.environ.get("FUZZ_SEED", "20250101"))
CODES = {"empty_file", "too_large", "not_an_image", "unsupported_format", "animated", "too_many_pixels"}
CODES |= {"too_small", "too_complex", "truncated"}


def make_file(index: int, folder: Path) -> str:
    """A mutated photo or a decoy."""
    bases()
    kind, content = image_file(SEED, index)
    (folder / "photo").write_bytes(content)
    return kind


def make_large_file(index: int, folder: Path) -> str:
    """A file with as many pixels as are allowed."""
    kind, make = image_decoys.LARGE[index % len(image_decoys.LARGE)]
    (folder / "photo").write_bytes(make(random.Random(f"{SEED}/large/{index}")))
    return kind


def judge(folder: Path) -> Judged:
    """Both looks at the file have to agree whether it is a photo."""
    verdict, finding = _verdict(lambda: inspect(folder / "photo"))
    prepared, finding_of_zipper = _verdict(lambda: prepare((folder / "photo").read_bytes(), longest_side=512))
    if (verdict == "accepted") != (prepared == "accepted"):
        finding = finding or f"inspected as {verdict}, prepared as {prepared}"
    return Judged(verdict, finding or finding_of_zipper)


def _verdict(look: Callable[[], object]) -> tuple[str, str | None]:
    try:
        look()
    except ImageRejected as rejected:
        if isinstance(rejected.__cause__, MemoryError):
            return rejected.code, "asked for more memory than there is"
        told = rejected.code in CODES and rejected.reason.endswith(".")
        return rejected.code, None if told else f"says {rejected.code}: {rejected.reason}"
    return "accepted", None
