"""Why a backup or a restore cannot go on."""

from typing import ClassVar

from fluxline.contracts.errors import ErrorCategory, FluxlineError


class BackupError(FluxlineError):
    """The backup or the restore cannot go on; each case gives its own hint."""

    category: ClassVar[ErrorCategory] = ErrorCategory.VALIDATION
