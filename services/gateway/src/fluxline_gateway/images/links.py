"""Links to stored images that are the same for a while, of every replica: so an answer with them keeps its ETag."""

import math
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from fluxline.storage import Storage

AT_LEAST_S: Final = 3600
STEP_S: Final = 900
MAX_KEPT: Final = 4096


def image_link(storage: Storage, key: str) -> str:
    """A signed link that works for an hour at least."""
    return _signed(storage.signed_url, key, end_of_link(time.time()))


def end_of_link(now: float) -> int:
    """When a link made `now` ends, both in Unix seconds: the same for a quarter of an hour."""
    return math.ceil((now + AT_LEAST_S) / STEP_S) * STEP_S


@lru_cache(MAX_KEPT)
def _signed(sign: Callable[..., str], key: str, until: int) -> str:
    """The link until that second, as of the last moment at which it could be the first to be made."""
    lifetime_s = AT_LEAST_S + STEP_S
    return sign(key, expires_s=lifetime_s, signed_at=until - lifetime_s)
