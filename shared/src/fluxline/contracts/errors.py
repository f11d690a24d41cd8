"""Error categories, stages, and the one base of every error that a job can end with.

An adapter raises a subclass that fits what it met (exception type, status code); nothing downstream
guesses a category from words. `retryable` is a property of the category and is what actually happens.
"""

from enum import StrEnum
from typing import Any, ClassVar


class ErrorCategory(StrEnum):
    """Why something failed; decides whether it is tried again."""

    NETWORK = "network"
    AUTHENTICATION = "authentication"
    VALIDATION = "validation"
    RATE_LIMIT = "rate_limit"
    SERVICE_ERROR = "service_error"
    FILE_ERROR = "file_error"
    TIMEOUT = "timeout"
    BILLING = "billing"
    CONTENT_POLICY = "content_policy"
    INTERNAL = "internal"

    @property
    def retryable(self) -> bool:
        """Whether trying the same thing again can help."""
        return self in _RETRYABLE

    @property
    def is_users(self) -> bool:
        """Whether the remedy lies in what the user sent: a normal outcome, not an operator's problem."""
        return self in _USERS


_RETRYABLE = frozenset(
    {
        ErrorCategory.NETWORK,
        ErrorCategory.RATE_LIMIT,
        ErrorCategory.SERVICE_ERROR,
        ErrorCategory.TIMEOUT,
        ErrorCategory.INTERNAL,
    }
)
_USERS = frozenset({ErrorCategory.VALIDATION, ErrorCategory.FILE_ERROR, ErrorCategory.CONTENT_POLICY})


class Stage(StrEnum):
    """Where in the pipeline a job is. `image_generation` belongs to generations, not to trainings."""

    ZIP_CREATION = "zip_creation"
    REPLICATE_TRAINING = "replicate_training"
    HUGGINGFACE_UPLOAD = "huggingface_upload"
    COMPLETION = "completion"
    IMAGE_GENERATION = "image_generation"


class FluxlineError(Exception):
    """Something failed in a way we understand.

    A subclass sets `category` and `hint`; its message says what happened, its `hint` what to do,
    and `context` holds what a person debugging it needs (ids, sizes, names; never a secret).
    """

    category: ClassVar[ErrorCategory] = ErrorCategory.INTERNAL
    outage: ClassVar[bool] = False
    """Whether a server of our own is away: that is waited out, however long, and counts as no attempt."""
    final: ClassVar[bool] = False
    """Whether it is never tried again by itself, whatever its category: the same request might be paid twice."""
    at_once: ClassVar[bool] = False
    """Whether the next attempt begins without a wait: it goes another way."""
    resume_from: ClassVar[Stage | None] = None
    """Where a retry of the training has to begin, if earlier than at the stage that failed."""
    hint: str = "This is a bug in fluxline: please report it with the training's debug export."

    def __init__(
        self,
        message: str = "",
        *,
        hint: str | None = None,
        retry_after_s: float | None = None,
        **context: Any,
    ) -> None:
        super().__init__(message or (type(self).__doc__ or type(self).__name__).strip().splitlines()[0])
        if hint is not None:
            self.hint = hint
        self.retry_after_s = retry_after_s
        self.context = context

    @property
    def retryable(self) -> bool:
        """Whether it is tried again."""
        return self.category.retryable and not self.final

    @property
    def message(self) -> str:
        """What happened, as one sentence."""
        return str(self.args[0])
