"""How a run of a training ends, where a cancelation and the publication race for it: one of them wins.

One register per run, changed by compare-and-set (`fluxline.runtime.register`):

    (nothing) or open ──▶ publishing:<token> ──▶ published
          │        ◀── given back ──┘
          └────▶ canceled

Who wants to cancel waits while somebody is publishing, and is too late once it is published.
"""

from typing import Final
from uuid import UUID

OPEN: Final = "open"
PUBLISHED: Final = "published"
CANCELED: Final = "canceled"
_PUBLISHING: Final = "publishing:"


def outcome_key(training_id: UUID, run: int) -> str:
    """The register's name."""
    return f"{training_id}.{run}"


def publishing(token: str) -> str:
    """The value of who is publishing now; `token` is one attempt's own."""
    return _PUBLISHING + token


def is_publishing(value: str | None) -> bool:
    """Whether somebody is between the point of no return and its end."""
    return value is not None and value.startswith(_PUBLISHING)


def is_undecided(value: str | None) -> bool:
    """Whether nobody has begun to end the run."""
    return value in (None, OPEN)


def is_over(value: str | None) -> bool:
    """Whether the run needs no more work."""
    return value in (PUBLISHED, CANCELED)
