"""A provider's archive of trained weights, read as what it is: a file from outside. Standard library only."""

from fluxline.weights.archive import ExtractedWeights, WeightsArchive, WeightsLimits, open_weights
from fluxline.weights.errors import (
    ArchiveTooLarge,
    MalformedWeights,
    SeveralWeights,
    UnreadableArchive,
    UnsafeMember,
    WeightsError,
    WeightsMissing,
)
from fluxline.weights.header import SafetensorsHeader, read_header

__all__ = [
    "ArchiveTooLarge",
    "ExtractedWeights",
    "MalformedWeights",
    "SafetensorsHeader",
    "SeveralWeights",
    "UnreadableArchive",
    "UnsafeMember",
    "WeightsArchive",
    "WeightsError",
    "WeightsLimits",
    "WeightsMissing",
    "open_weights",
    "read_header",
]
