"""How many requests a minute an owner may send, and how an answer tells it.

The generic cell rate algorithm (ITU-T I.371): of an owner nothing is kept but the moment at which its quota will be
whole again. Each request moves it on by a minute's fraction, and one that would move it beyond a minute is refused. So
a whole minute's quota may be used at once, and comes back evenly.

Each process counts for itself: behind n gateways an owner may send up to n times as many.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Final

from fluxline.contracts.errors import ErrorCategory
from fluxline.postgres.pool import Database
from fluxline_gateway.errors import ApiError

WINDOW_S: Final = 60
CACHE_S: Final = 10.0
"""How late a changed limit is noticed."""
MAX_OWNERS: Final = 10_000
"""Whoever has been quiet for longest is forgotten first, with the quota it has used."""
_LIMIT = "SELECT requests_per_minute FROM owners WHERE owner = $1"
_ROUNDING_S: Final = 1e-6


@dataclass(slots=True)
class _Owner:
    limit: int
    read_at: float
    whole_at: float


@dataclass(frozen=True, slots=True)
class Quota:
    """How an owner stands after a request: `left` of `limit` in a minute, and seconds until there are more."""

    limit: int
    left: int
    wait_s: int
    exceeded: bool

    @property
    def headers(self) -> Mapping[str, str]:
        """The fields of draft-ietf-httpapi-ratelimit-headers."""
        return {
            "RateLimit-Policy": f'"default";q={self.limit};w={WINDOW_S}',
            "RateLimit": f'"default";r={self.left};t={self.wait_s}',
        }


class TooManyRequests(ApiError):
    """The owner has used up what it may send; the answer says when there is more."""

    def __init__(self, quota: Quota) -> None:
        super().__init__(
            429,
            "Too many requests",
            category=ErrorCategory.RATE_LIMIT,
            hint="Wait as long as Retry-After says, and send requests more slowly.",
            detail=f"This owner may send {quota.limit} requests a minute.",
            headers={"Retry-After": str(quota.wait_s)},
        )


class RateLimits:
    """What this process has seen of every owner; `default` is the limit of one without its own."""

    def __init__(self, default: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._default, self._clock = default, clock
        self._owners: dict[str, _Owner] = {}

    async def count(self, database: Database, owner: str) -> Quota:
        """Count a request of the owner; one that is exceeded is not to be served."""
        now = self._clock()
        known = self._owners.pop(owner, None)
        if known is None:
            known = _Owner(self._default, now - CACHE_S, now)
        self._remember(owner, known)
        if now - known.read_at >= CACHE_S:
            known.read_at = now  # others go on with the old limit meanwhile
            own: int | None = await database.pool.fetchval(_LIMIT, owner)
            known.limit = self._default if own is None else own
        return _counted(known, self._clock())

    def _remember(self, owner: str, known: _Owner) -> None:
        """Keep it as the one heard of last."""
        if len(self._owners) >= MAX_OWNERS:
            del self._owners[next(iter(self._owners))]
        self._owners[owner] = known


def _counted(known: _Owner, now: float) -> Quota:
    step_s = WINDOW_S / known.limit
    before = max(known.whole_at, now)
    after = before + step_s
    room_s = now + WINDOW_S - after + _ROUNDING_S
    if room_s < 0:
        return Quota(known.limit, 0, max(1, ceil(-room_s)), exceeded=True)
    known.whole_at = after
    left = int(room_s / step_s)
    return Quota(known.limit, left, max(1, ceil(step_s * (left + 1) - room_s)), exceeded=False)
