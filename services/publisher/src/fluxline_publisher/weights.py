"""The trained files out of the trainer's archive, checked with the library that everybody will load them with."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from safetensors import SafetensorError, safe_open

from fluxline.weights import open_weights
from fluxline_publisher.errors import WeightsUnusable

CAPTIONS: Final = "captions/"
"""Where they lie in the repository."""


@dataclass(frozen=True)
class TrainedFiles:
    """Unpacked and checked: `weights` holds a LoRA; `sha256` (hex) and `size_bytes` are those of the weights."""

    weights: Path
    sha256: str
    size_bytes: int
    config: Path | None
    captions: tuple[Path, ...]

    def by_repo_path(self) -> dict[str, Path]:
        """Every file by its path in the repository."""
        config = {self.config.name: self.config} if self.config else {}
        captions = {f"{CAPTIONS}{path.name}": path for path in self.captions}
        return {self.weights.name: self.weights, **config, **captions}


def unpack(tar: Path, folder: Path) -> TrainedFiles:
    """Read the archive safely, write its files below `folder` and open the weights; blocking.

    Raises:
        fluxline.weights.WeightsError: the archive is unsafe, or holds no weights whose header fits them.
        WeightsUnusable: the safetensors library does not open the weights, or they are no LoRA.
    """
    extracted = open_weights(tar).extract(folder)
    return check(extracted.weights, extracted.config, extracted.captions)


def check(weights: Path, config: Path | None = None, captions: tuple[Path, ...] = ()) -> TrainedFiles:
    """The files, once the library has opened the weights; blocking. Raises WeightsUnusable."""
    _check_lora(weights)
    with weights.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return TrainedFiles(weights, sha256, weights.stat().st_size, config, captions)


def _check_lora(path: Path) -> None:
    try:
        with safe_open(path, framework="numpy") as weights:
            names = list(weights.keys())
    except SafetensorError as error:
        raise WeightsUnusable("The safetensors library does not open the trained weights") from error
    if not any("lora" in name.lower() for name in names):
        raise WeightsUnusable("The trained weights are not a LoRA", tensors=len(names))
