"""The calls received and sent, newest last, bounded, without queries, headers or bodies."""

import time
from collections import deque
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class Call:
    """One call; `status` stays None when no answer was given. Times are Unix seconds."""

    method: str
    path: str
    provider: str | None
    operation: str | None
    status: int | None = None
    fault: str | None = None
    time: float = field(default_factory=time.time)
    seconds: float | None = None

    def finish(self, status: int | None) -> None:
        """Note the answer and how long it took."""
        self.status = status
        self.seconds = round(time.time() - self.time, 4)


class CallLog:
    """The last `size` calls."""

    def __init__(self, size: int = 5_000) -> None:
        self._calls: deque[Call] = deque(maxlen=size)

    def add(self, call: Call) -> Call:
        """Keep a call, dropping the oldest when full."""
        self._calls.append(call)
        return call

    def clear(self) -> None:
        """Forget every call."""
        self._calls.clear()

    def entries(self) -> list[dict[str, Any]]:
        """Every call kept, oldest first."""
        return [asdict(call) for call in self._calls]
