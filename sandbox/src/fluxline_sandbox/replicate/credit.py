"""How many jobs may be created: 6 a minute when credit is low, none when it is exhausted."""

import math
import time

from fluxline_sandbox.replicate.problems import insufficient_credit, throttled
from fluxline_sandbox.sandbox import Sandbox

_LOW_CREDIT_PER_MINUTE = 6
_WINDOW_SECONDS = 60.0


def spend(sandbox: Sandbox) -> None:
    """Take one create off the account's allowance; raises a 402 or a 429 `Problem`."""
    behaviour, spent = sandbox.behaviour, sandbox.creates
    if behaviour.credit_exhausted:
        raise insufficient_credit()
    limit = _LOW_CREDIT_PER_MINUTE if behaviour.low_credit else behaviour.creates_per_minute
    now = time.monotonic()
    while spent and spent[0] <= now - _WINDOW_SECONDS:
        spent.popleft()
    if len(spent) >= limit:
        raise throttled(max(1, math.ceil(spent[-limit] + _WINDOW_SECONDS - now)))
    spent.append(now)
