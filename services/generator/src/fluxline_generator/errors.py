"""Why images could not be made. `ambiguous` on a submission: it may have happened, so it must not be repeated."""

from typing import Any, ClassVar

from fluxline.contracts.errors import ErrorCategory, FluxlineError


class ModelNotReady(FluxlineError):
    """The model has no trained version to generate with."""

    category: ClassVar[ErrorCategory] = ErrorCategory.VALIDATION
    hint = "Wait until the model's training is completed, or choose another model."


class ImageUnusable(FluxlineError):
    """A generated file is not an image that can be delivered."""

    category: ClassVar[ErrorCategory] = ErrorCategory.FILE_ERROR
    hint = "Generate again; if it happens again, report it with the generation's id."


class NeedsReview(FluxlineError):
    """The provider was asked several times without a result."""

    hint = "Somebody has to look at the provider's list of predictions before it is asked again."


class OutcomeUnknown(FluxlineError):
    """Whether the provider has accepted the request is not known yet."""

    category: ClassVar[ErrorCategory] = ErrorCategory.SERVICE_ERROR
    hint = "It is looked for in the provider's list by itself; nothing is paid twice."


class SubmissionDoubtful(FluxlineError):
    """The provider's answer to the paid request was lost, and its runs cannot be listed."""

    category: ClassVar[ErrorCategory] = ErrorCategory.SERVICE_ERROR
    final: ClassVar[bool] = True
    hint = "It may have been charged and is not asked again by itself: look at the provider's own history first."


class ProviderDeclined(FluxlineError):
    """A provider declined for a reason of its own, and another one is asked in the next attempt, at once."""

    at_once: ClassVar[bool] = True

    def __init__(self, message: str, *, category: ErrorCategory, hint: str, provider: str) -> None:
        super().__init__(message, hint=hint, provider=provider)
        self.category = category  # type: ignore[misc]  # an instance's own: why the provider declined

    @property
    def retryable(self) -> bool:
        """Always: it is another provider's turn, whatever this one said."""
        return True


class ProvidersExhausted(FluxlineError):
    """No provider made the images; category and hint are those of the first."""

    def __init__(self, message: str, *, category: ErrorCategory, hint: str) -> None:
        super().__init__(message, hint=hint)
        self.category = category  # type: ignore[misc]  # an instance's own: it is told by the first refusal


class ProviderError(FluxlineError):
    """The provider did not do what was asked."""

    category: ClassVar[ErrorCategory] = ErrorCategory.SERVICE_ERROR
    hint = "It is tried again by itself."

    def __init__(self, message: str = "", *, ambiguous: bool = False, **options: Any) -> None:
        super().__init__(message, **options)
        self.ambiguous = ambiguous


class ProviderDenied(ProviderError):
    """The provider refused the key."""

    category: ClassVar[ErrorCategory] = ErrorCategory.AUTHENTICATION


class ProviderBilling(ProviderError):
    """The provider asks for payment."""

    category: ClassVar[ErrorCategory] = ErrorCategory.BILLING


class ProviderRefused(ProviderError):
    """The provider refused the request as wrong."""

    category: ClassVar[ErrorCategory] = ErrorCategory.VALIDATION
    hint = "The message says what was not accepted; a deleted model has to be trained again."


class ProviderThrottled(ProviderError):
    """The provider asks to slow down."""

    category: ClassVar[ErrorCategory] = ErrorCategory.RATE_LIMIT
    hint = "It is tried again by itself."


class ProviderTimeout(ProviderError):
    """The provider did not answer in time."""

    category: ClassVar[ErrorCategory] = ErrorCategory.TIMEOUT
    hint = "It is tried again by itself; nothing is paid twice."


class ProviderUnreachable(ProviderError):
    """The provider cannot be reached."""

    category: ClassVar[ErrorCategory] = ErrorCategory.NETWORK
    hint = "It is tried again by itself; check the network if it lasts."


class ContentRefused(ProviderError):
    """The provider refused the prompt or its result by its content policy."""

    category: ClassVar[ErrorCategory] = ErrorCategory.CONTENT_POLICY
    hint = "Change the prompt. The same prompt with another seed may pass if it is harmless."


class RunLost(ProviderError):
    """The provider's run ended without images that can be fetched; another run is the remedy."""


class RunOverdue(RunLost):
    """The provider's run took too long and was canceled."""

    category: ClassVar[ErrorCategory] = ErrorCategory.TIMEOUT
