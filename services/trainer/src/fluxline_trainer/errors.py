"""What can go wrong with a paid training, each with its category and what to do."""

from typing import Any, ClassVar

from fluxline.contracts.errors import ErrorCategory, FluxlineError, Stage

BILLING_URL = "https://replicate.com/account/billing"


class ProviderError(FluxlineError):
    """The provider did not do what was asked.

    `ambiguous` says that the request may have had its effect although no proper answer came: a paid call must
    then be looked for, never repeated. A refusal, or a request that was never sent, is not ambiguous.
    """

    category: ClassVar[ErrorCategory] = ErrorCategory.SERVICE_ERROR
    hint = "It is tried again by itself; if it lasts, look at https://www.replicatestatus.com."

    def __init__(
        self,
        message: str = "",
        *,
        ambiguous: bool = False,
        hint: str | None = None,
        retry_after_s: float | None = None,
        **context: Any,
    ) -> None:
        super().__init__(message, hint=hint, retry_after_s=retry_after_s, **context)
        self.ambiguous = ambiguous


class KeyRefused(ProviderError):
    """Replicate refused the API token."""

    category: ClassVar[ErrorCategory] = ErrorCategory.AUTHENTICATION
    hint = "Set REPLICATE_API_TOKEN to a valid token of https://replicate.com/account/api-tokens, then retry."


class CreditMissing(ProviderError):
    """The Replicate account has no credit left."""

    category: ClassVar[ErrorCategory] = ErrorCategory.BILLING
    hint = f"Add credit at {BILLING_URL}, wait a few minutes, then retry the training."


class RequestRefused(ProviderError):
    """Replicate refused the request as invalid."""

    category: ClassVar[ErrorCategory] = ErrorCategory.VALIDATION
    hint = "Change what the message names, then train again."


class NotFound(ProviderError):
    """Replicate does not know what was asked for."""

    category: ClassVar[ErrorCategory] = ErrorCategory.VALIDATION
    hint = "Check TRAINER_REPLICATE_TRAINER and TRAINER_REPLICATE_OWNER, and look at https://replicate.com/trainings."


class AlreadyExists(ProviderError):
    """Replicate has it already."""

    category: ClassVar[ErrorCategory] = ErrorCategory.VALIDATION


class Throttled(ProviderError):
    """Replicate asks to slow down."""

    category: ClassVar[ErrorCategory] = ErrorCategory.RATE_LIMIT
    hint = f"It is tried again by itself; credit below $5 lowers the limit: {BILLING_URL}."


class ProviderFailed(ProviderError):
    """Replicate failed on its side."""


class ProviderUnreachable(ProviderError):
    """Replicate cannot be reached, or hung up."""

    category: ClassVar[ErrorCategory] = ErrorCategory.NETWORK
    hint = "It is tried again by itself; check the network and REPLICATE_BASE_URL if it lasts."


class ProviderTimeout(ProviderError):
    """Replicate did not answer in time."""

    category: ClassVar[ErrorCategory] = ErrorCategory.TIMEOUT


class AnswerUnreadable(ProviderError):
    """Replicate's answer is not what its API promises."""


class DownloadRefused(ProviderError):
    """The trained weights cannot be fetched from where Replicate said they are."""

    category: ClassVar[ErrorCategory] = ErrorCategory.FILE_ERROR
    hint = "Look at the training on https://replicate.com/trainings: its files may have expired; then train again."


class DownloadDenied(ProviderError):
    """Replicate's file server refused the API token."""

    category: ClassVar[ErrorCategory] = ErrorCategory.AUTHENTICATION
    hint = (
        "Set REPLICATE_API_TOKEN to a valid token of https://replicate.com/account/api-tokens, then retry: the weights "
        "are fetched again, nothing is paid twice. If the token is good, their address may have expired: train again."
    )


class SubmissionUnclear(FluxlineError):
    """Replicate neither confirmed nor showed the training, several times over."""

    category: ClassVar[ErrorCategory] = ErrorCategory.SERVICE_ERROR
    hint = "Needs review: make sure on https://replicate.com/trainings that none is running, then retry."


class TrainingLost(FluxlineError):
    """Replicate does not know the training any more that it accepted."""

    category: ClassVar[ErrorCategory] = ErrorCategory.VALIDATION
    hint = "Needs review: look for the training on https://replicate.com/trainings before you retry."


class TrainingTooSlow(FluxlineError):
    """The training took longer than it may and was canceled at Replicate."""

    category: ClassVar[ErrorCategory] = ErrorCategory.TIMEOUT
    hint = "Train with fewer steps, or raise TRAINER_DEADLINE_S; what ran so far is billed."


class TrainingRefused(FluxlineError):
    """Replicate could not train with these images."""

    category: ClassVar[ErrorCategory] = ErrorCategory.VALIDATION
    hint = "Remove or replace what the message names, then train again."


class ContentRefused(FluxlineError):
    """Replicate refused to train by its content policy."""

    category: ClassVar[ErrorCategory] = ErrorCategory.CONTENT_POLICY
    hint = "Remove the photos that the policy may mean (https://replicate.com/terms), then train again."


class TrainingCrashed(FluxlineError):
    """The training failed at Replicate."""

    category: ClassVar[ErrorCategory] = ErrorCategory.SERVICE_ERROR
    hint = "It is not repeated by itself, since each run costs money: look at the log, then retry."


class TrainingStopped(FluxlineError):
    """The training was canceled at Replicate, not by us."""

    category: ClassVar[ErrorCategory] = ErrorCategory.SERVICE_ERROR
    hint = "Somebody canceled it at Replicate, or it could not start in time there: retry the training."


class ZipUnreachable(FluxlineError):
    """The archive's link cannot be fetched from outside."""

    category: ClassVar[ErrorCategory] = ErrorCategory.NETWORK
    hint = "It is tried again by itself; check that STORAGE_PUBLIC_URL (or the R2 endpoint) is reachable from outside."


class ZipSlow(FluxlineError):
    """The archive's link did not answer in time."""

    category: ClassVar[ErrorCategory] = ErrorCategory.TIMEOUT
    hint = "It is tried again by itself; check the storage and the gateway that serves it."


class ZipServerFailed(FluxlineError):
    """The server of the archive's link failed."""

    category: ClassVar[ErrorCategory] = ErrorCategory.SERVICE_ERROR
    hint = "It is tried again by itself; check the storage and the gateway that serves it."


class ZipDenied(FluxlineError):
    """The archive's link is refused."""

    category: ClassVar[ErrorCategory] = ErrorCategory.AUTHENTICATION
    hint = "Give every service the same STORAGE_SECRET (or the same R2 keys), and check this machine's clock."


class ZipBroken(FluxlineError):
    """The archive's link does not lead to the archive."""

    category: ClassVar[ErrorCategory] = ErrorCategory.FILE_ERROR
    resume_from: ClassVar[Stage | None] = Stage.ZIP_CREATION
    hint = "The stored archive is gone or changed: retry the training, which makes it again from the photos."


class ArchiveUnknown(FluxlineError):
    """A retry names no archive, and none is known."""

    category: ClassVar[ErrorCategory] = ErrorCategory.FILE_ERROR
    resume_from: ClassVar[Stage | None] = Stage.ZIP_CREATION
    hint = "Retry the training again: it begins with its photos then."


class StillRunning(FluxlineError):
    """The training is to be deleted, but it has not ended yet: it is canceled first."""

    category: ClassVar[ErrorCategory] = ErrorCategory.SERVICE_ERROR
    hint = "It is tried again by itself, until Replicate has confirmed the end."


class DiskFailed(FluxlineError):
    """The trainer cannot write its temporary files."""

    category: ClassVar[ErrorCategory] = ErrorCategory.SERVICE_ERROR
    hint = "Make room in the temporary folder (TMPDIR) of the trainer; it is tried again by itself."
