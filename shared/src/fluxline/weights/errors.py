"""Why an archive of weights is refused."""

from typing import ClassVar

from fluxline.contracts.errors import ErrorCategory, FluxlineError


class WeightsError(FluxlineError):
    """The provider's archive of weights cannot be used."""

    category: ClassVar[ErrorCategory] = ErrorCategory.FILE_ERROR
    hint = "The training itself went well: retry the stage to fetch the archive again; nothing is paid twice."


class UnreadableArchive(WeightsError):
    """The archive is not a whole tar file."""


class UnsafeMember(WeightsError):
    """The archive holds something that is no plain file inside it."""

    hint = "Do not unpack it by hand; report the training to the provider, whose archives hold plain files only."


class ArchiveTooLarge(WeightsError):
    """The archive holds more than an archive of LoRA weights can."""

    hint = "Look at what the provider's training wrote; its archive is far larger than weights, config and captions."


class WeightsMissing(WeightsError):
    """The archive holds no .safetensors file of a plausible size."""

    hint = "The provider's training wrote no weights: look at its log, and train again."


class SeveralWeights(WeightsError):
    """The archive holds more than one .safetensors file, and nothing tells which is the result."""

    hint = "Use a trainer version that leaves one .safetensors file, or publish the right one by hand."


class MalformedWeights(WeightsError):
    """The .safetensors file contradicts its own header: it is damaged or not finished."""
