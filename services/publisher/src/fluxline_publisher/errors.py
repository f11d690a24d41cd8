"""Why a model cannot be published, as far as it does not depend on the hub's client."""

from typing import ClassVar

from fluxline.contracts.errors import ErrorCategory, FluxlineError, Stage


class LicenseNotAccepted(FluxlineError):
    """The licence of FLUX.1-dev was not accepted, so its derivative cannot be published."""

    category: ClassVar[ErrorCategory] = ErrorCategory.VALIDATION
    hint = (
        "Accept the FLUX.1-dev non-commercial licence (publish.accept_license), "
        "or train again with publishing off: the weights stay in storage either way."
    )


class RepoNameInvalid(FluxlineError):
    """Hugging Face does not allow this repository name."""

    category: ClassVar[ErrorCategory] = ErrorCategory.VALIDATION
    hint = "Use letters, digits, '-', '_' and '.', without '--' or '..' and without '-' or '.' at the ends."


class RepoTaken(FluxlineError):
    """The repository exists already and belongs to something else."""

    category: ClassVar[ErrorCategory] = ErrorCategory.VALIDATION
    hint = "Choose another publish.repo_name, or leave it out: then the name is unique to the training."


class WeightsDamaged(FluxlineError):
    """The trained weights in storage are not those that the trainer announced."""

    category: ClassVar[ErrorCategory] = ErrorCategory.FILE_ERROR
    resume_from: ClassVar[Stage | None] = Stage.REPLICATE_TRAINING
    hint = "Retry the training: it goes back to replicate_training, which fetches the weights again."


class WeightsGone(WeightsDamaged):
    """The trained weights are not in storage any more."""


class WeightsUnusable(FluxlineError):
    """The trained weights are not a LoRA in the safetensors format."""

    category: ClassVar[ErrorCategory] = ErrorCategory.FILE_ERROR
    hint = "Nothing was published. Train again; if it happens again, report it with the training's debug export."


class RetryIncomplete(FluxlineError):
    """The request to publish again does not say what was trained."""


class PublishedElsewhere(FluxlineError):
    """Another process has taken over the publication and has not ended it yet."""

    category: ClassVar[ErrorCategory] = ErrorCategory.SERVICE_ERROR
    hint = "It is tried again by itself; what the other process did is taken over."


class CardInvalid(FluxlineError):
    """The generated model card does not say what it must."""


class SampleUnusable(FluxlineError):
    """A sample image in storage is not a JPEG, PNG or WebP image."""

    category: ClassVar[ErrorCategory] = ErrorCategory.FILE_ERROR
    hint = "Ask for the samples again."


class HubHashMismatch(FluxlineError):
    """What the hub holds is not what was sent to it."""

    category: ClassVar[ErrorCategory] = ErrorCategory.FILE_ERROR
    hint = "Delete the repository on Hugging Face and retry the training from its huggingface_upload stage."


class HubTokenRefused(FluxlineError):
    """Hugging Face refused the token."""

    category: ClassVar[ErrorCategory] = ErrorCategory.AUTHENTICATION
    hint = (
        "Set HUGGINGFACE_API_TOKEN to a token with write access from https://huggingface.co/settings/tokens, "
        "and HUGGINGFACE_USERNAME to a user or organisation that it may write to."
    )


class HubBilling(FluxlineError):
    """Hugging Face asks for payment."""

    category: ClassVar[ErrorCategory] = ErrorCategory.BILLING
    hint = "See https://huggingface.co/settings/billing; private storage may be used up."


class HubRefused(FluxlineError):
    """Hugging Face refused the request as wrong."""

    category: ClassVar[ErrorCategory] = ErrorCategory.VALIDATION
    hint = "The message says what Hugging Face did not accept; change it and retry from huggingface_upload."


class HubThrottled(FluxlineError):
    """Hugging Face asks to slow down."""

    category: ClassVar[ErrorCategory] = ErrorCategory.RATE_LIMIT
    hint = "It is tried again by itself."


class HubTimeout(FluxlineError):
    """Hugging Face did not answer in time."""

    category: ClassVar[ErrorCategory] = ErrorCategory.TIMEOUT
    hint = "It is tried again by itself; what was uploaded already is not uploaded twice."


class HubUnreachable(FluxlineError):
    """Hugging Face cannot be reached."""

    category: ClassVar[ErrorCategory] = ErrorCategory.NETWORK
    hint = "It is tried again by itself; check HF_ENDPOINT and the network if it lasts."


class HubFailed(FluxlineError):
    """Hugging Face failed on its side."""

    category: ClassVar[ErrorCategory] = ErrorCategory.SERVICE_ERROR
    hint = "It is tried again by itself; see https://status.huggingface.co if it lasts."
