"""What can go wrong with stored files; each adapter turns what it meets into one of these."""

from typing import ClassVar

from fluxline.contracts.errors import ErrorCategory, FluxlineError


class StorageError(FluxlineError):
    """The object storage could not do what was asked."""

    category: ClassVar[ErrorCategory] = ErrorCategory.SERVICE_ERROR
    hint = "It is tried again by itself; if it keeps failing, look at the storage's own status and log."


class InvalidKey(StorageError):
    """A storage key is not a plain relative path."""

    category: ClassVar[ErrorCategory] = ErrorCategory.VALIDATION
    hint = "Use letters, digits, dots, dashes and underscores in parts separated by single slashes."


class ObjectMissing(StorageError):
    """A stored file does not exist."""

    category: ClassVar[ErrorCategory] = ErrorCategory.FILE_ERROR
    hint = "It was deleted or never stored: upload the file again, or retry the stage that makes it."


class ObjectTooLarge(StorageError):
    """A stored file is larger than what may be read at once."""

    category: ClassVar[ErrorCategory] = ErrorCategory.FILE_ERROR
    hint = "Something else than expected is stored there: store the right file again."


class SizeMismatch(StorageError):
    """A file that was sent has another size than its link says."""

    category: ClassVar[ErrorCategory] = ErrorCategory.VALIDATION
    hint = "Send exactly the file that the link was made for."


class StorageUnreachable(StorageError):
    """The object storage cannot be reached."""

    category: ClassVar[ErrorCategory] = ErrorCategory.NETWORK
    hint = "It is tried again by itself; check CLOUDFLARE_R2_ENDPOINT and the network if it lasts."


class StorageTimeout(StorageError):
    """The object storage did not answer in time."""

    category: ClassVar[ErrorCategory] = ErrorCategory.TIMEOUT
    hint = "It is tried again by itself; check the network and the storage's status if it lasts."


class StorageThrottled(StorageError):
    """The object storage asks to slow down."""

    category: ClassVar[ErrorCategory] = ErrorCategory.RATE_LIMIT
    hint = "It is tried again by itself, more slowly."


class StorageDenied(StorageError):
    """The object storage refused our credentials or permissions."""

    category: ClassVar[ErrorCategory] = ErrorCategory.AUTHENTICATION
    hint = (
        "Check CLOUDFLARE_R2_ACCESS_KEY_ID and CLOUDFLARE_R2_SECRET_ACCESS_KEY, that the key may read and write "
        "the bucket CLOUDFLARE_R2_BUCKET, and this machine's clock."
    )


class StorageRefused(StorageError):
    """The object storage refused a request as wrong: its configuration does not fit."""

    category: ClassVar[ErrorCategory] = ErrorCategory.VALIDATION
    hint = "Check that CLOUDFLARE_R2_ENDPOINT is the S3 API's address and that the bucket CLOUDFLARE_R2_BUCKET exists."


class StorageFull(StorageError):
    """There is no space left."""

    hint = "Make room on the disk or raise the storage's quota; the work is tried again by itself."


class StorageFailed(StorageError):
    """The object storage failed on its side."""


class SignatureInvalid(StorageError):
    """A signed link is not one of ours, or was changed."""

    category: ClassVar[ErrorCategory] = ErrorCategory.AUTHENTICATION
    hint = "Ask for a fresh link, and use it as it is."


class SignatureExpired(StorageError):
    """A signed link has expired."""

    category: ClassVar[ErrorCategory] = ErrorCategory.AUTHENTICATION
    hint = "Ask for a fresh link."
