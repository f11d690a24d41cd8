"""The provider's tar of weights: what is in it, checked, and how to get that out."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from fluxline.weights.errors import ArchiveTooLarge, SeveralWeights, UnreadableArchive, WeightsMissing
from fluxline.weights.header import SafetensorsHeader, read_header
from fluxline.weights.tar import Member, members

WEIGHTS_NAME = "lora.safetensors"
_CONFIGS = ("config.yaml", "config.yml", "config.json")
_CAPTION_NAME = re.compile(r"(?!caption-\d)[a-z0-9_-](?:\.?[a-z0-9_-]){0,99}\.txt", re.IGNORECASE | re.ASCII)
_COPY_BYTES = 1 << 20


@dataclass(frozen=True)
class WeightsLimits:
    """What an archive may hold. `min_weights_bytes` tells weights from leftovers, `text_bytes` bounds each text."""

    members: int = 2_000
    total_bytes: int = 8 * 1024**3
    min_weights_bytes: int = 64 * 1024
    text_bytes: int = 1024 * 1024


@dataclass(frozen=True)
class ExtractedWeights:
    """The files that `extract` wrote, all under names that it chose or checked."""

    weights: Path
    config: Path | None
    captions: tuple[Path, ...]


@dataclass(frozen=True)
class WeightsArchive:
    """A checked archive: exactly one .safetensors file, whose header fits it; config and captions if there are any."""

    path: Path
    weights: Member
    header: SafetensorsHeader
    config: Member | None
    captions: tuple[Member, ...]

    def extract(self, folder: Path) -> ExtractedWeights:
        """Write weights, config and captions below `folder`, which is made; blocking, memory stays small.

        `lora.safetensors`, `config.yaml` (or .json), `captions/<name>.txt`; nothing else leaves the archive.
        """
        folder.mkdir(parents=True, exist_ok=True)
        with self.path.open("rb") as tar:
            weights = _copy(tar, self.weights, folder / WEIGHTS_NAME)
            config = _copy(tar, self.config, folder / self.config.name.name.lower()) if self.config else None
            named = zip(self.captions, _caption_names(self.captions), strict=True)
            captions = tuple(_copy(tar, caption, folder / "captions" / name) for caption, name in named)
        return ExtractedWeights(weights, config, captions)


def open_weights(tar_path: Path, limits: WeightsLimits | None = None) -> WeightsArchive:
    """Read and check the provider's tar without unpacking it; blocking.

    Raises a WeightsError that says what is wrong: see `fluxline.weights.errors`.
    """
    limits = limits or WeightsLimits()
    with tar_path.open("rb") as tar:
        found = list(members(tar, max_members=limits.members, max_total_bytes=limits.total_bytes))
        if not found:
            raise UnreadableArchive("The archive is empty.")
        weights = _only_weights(found, limits.min_weights_bytes)
        header = read_header(tar, weights.offset, weights.size)
    config = _config_beside(weights, found)
    captions = tuple(m for m in found if m.name.suffix.lower() == ".txt" and m.name.parent.name == "captions")
    for text in (config, *captions):
        if text and text.size > limits.text_bytes:
            raise ArchiveTooLarge("The archive holds a text that is too long.", name=ascii(str(text.name))[:200])
    return WeightsArchive(tar_path, weights, header, config, captions)


def _only_weights(found: Sequence[Member], min_bytes: int) -> Member:
    named = [member for member in found if member.name.suffix.lower() == ".safetensors"]
    plausible = [member for member in named if member.size >= min_bytes]
    if not plausible:
        raise WeightsMissing(largest_bytes=max((member.size for member in named), default=0), files=len(found))
    if len(plausible) > 1:
        raise SeveralWeights(names=", ".join(ascii(str(member.name)) for member in plausible)[:500])
    return plausible[0]


def _config_beside(weights: Member, found: Sequence[Member]) -> Member | None:
    """The configuration in the weights' own folder, else the first one anywhere."""
    configs = [member for member in found if member.name.name.lower() in _CONFIGS]
    beside = [member for member in configs if member.name.parent == weights.name.parent]
    return next(iter(beside or configs), None)


def _caption_names(captions: Sequence[Member]) -> list[str]:
    """Each one's own name where that is plain and not taken yet, `caption-<number>.txt` otherwise."""
    taken: set[str] = set()
    names = []
    for number, caption in enumerate(captions, start=1):
        own = caption.name.name
        usable = _CAPTION_NAME.fullmatch(own) is not None and own.lower() not in taken
        taken.add(own.lower())
        names.append(own if usable else f"caption-{number:03}.txt")
    return names


def _copy(tar: BinaryIO, member: Member, target: Path) -> Path:
    """Write a member's bytes to `target`, which must not exist yet."""
    target.parent.mkdir(parents=True, exist_ok=True)
    tar.seek(member.offset)
    left = member.size
    with target.open("xb") as out:
        while left:
            chunk = tar.read(min(left, _COPY_BYTES))
            if not chunk:
                raise UnreadableArchive("The archive became shorter while it was read.")
            out.write(chunk)
            left -= len(chunk)
    return target
