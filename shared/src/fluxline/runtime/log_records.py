"""Log entries as records that travel: bounded in size, waiting in a bounded queue until they are shipped."""

import json
import logging
import os
import socket
from collections import deque
from collections.abc import Callable, Mapping
from threading import Lock
from typing import Any, Final
from uuid import UUID

from fluxline.contracts.logs import TRACEBACK
from fluxline.runtime.redaction import redact_text

MAX_RECORDS: Final = 2000
MAX_BYTES: Final = 8 * 1024**2
MAX_FIELD_CHARS: Final = 8 * 1024
MAX_FIELDS_CHARS: Final = 32 * 1024
MAX_EVENT_CHARS: Final = 2000
MAX_NAME_CHARS: Final = 100
_OWN = ("timestamp", "level", "logger", "event", "service", "training_id", "generation_id", "trace_id")
_NOT_SHIPPED = ("fluxline.runtime.log_shipping", "nats", "faststream")
"""Loggers of the way that records travel: what they say of it would have to travel it too."""


class LogQueue:
    """Records as JSON lines, the oldest of which go when there are too many or they are too large together.

    Any thread may put. `on_dropped` is told how many went.
    """

    def __init__(self, *, max_records: int = MAX_RECORDS, max_bytes: int = MAX_BYTES) -> None:
        self.on_dropped: Callable[[int], None] = lambda _count: None
        self._max_records, self._max_bytes = max_records, max_bytes
        self._lines: deque[bytes] = deque()
        self._bytes = 0
        self._lock = Lock()

    def put(self, line: bytes) -> None:
        """Append a line; never waits for room."""
        with self._lock:
            self._lines.append(line)
            self._bytes += len(line)
            dropped = 0
            while len(self._lines) > self._max_records or self._bytes > self._max_bytes:
                self._bytes -= len(self._lines.popleft())
                dropped += 1
        if dropped:
            self.on_dropped(dropped)

    def take(self, *, max_records: int, max_bytes: int) -> list[bytes]:
        """The oldest lines, at least one if there are any; they are the caller's from now on."""
        taken: list[bytes] = []
        size = 0
        with self._lock:
            while self._lines and len(taken) < max_records and (not taken or size + len(self._lines[0]) < max_bytes):
                taken.append(self._lines.popleft())
                size += len(taken[-1]) + 1
            self._bytes -= sum(map(len, taken))
        return taken


class QueueHandler(logging.Handler):
    """Puts into the queue what its formatter makes of our entries from INFO on, and of libraries' from WARNING on."""

    def __init__(self, queue: LogQueue, formatter: logging.Formatter) -> None:
        super().__init__(logging.INFO)
        self._queue = queue
        self.setFormatter(formatter)

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to ship it."""
        is_ours = isinstance(record.msg, dict)  # what structlog hands over
        name = record.name
        travels = not any(name == known or name.startswith(f"{known}.") for known in _NOT_SHIPPED)
        return travels and (is_ours or record.levelno >= logging.WARNING)

    def emit(self, record: logging.LogRecord) -> None:
        """Never raises: a record that cannot be written is one that was dropped."""
        try:
            self._queue.put(self.format(record).encode(errors="replace"))
        except Exception:  # a log must never stop who writes it
            self._queue.on_dropped(1)


def instance_name() -> str:
    """This process among all that log: host:pid."""
    return f"{socket.gethostname()}:{os.getpid()}"


def record_line(entry: Mapping[str, Any], instance: str) -> str:
    """A finished log entry as one line of JSON that `LogRecord` reads."""
    record: dict[str, Any] = {
        "at": entry.get("timestamp"),
        "level": entry.get("level"),
        "logger": str(entry.get("logger")),
        "event": _cut(str(entry.get("event")), MAX_EVENT_CHARS),
        "service": entry.get("service"),
        "instance": instance,
    }
    rest = {name: value for name, value in entry.items() if name not in _OWN}
    for name in ("training_id", "generation_id"):
        value = entry.get(name)
        if (known := _uuid(value)) is not None:
            record[name] = known
        elif value is not None:
            rest[name] = value
    if trace_id := entry.get("trace_id"):
        record["trace_id"] = str(trace_id)
    return json.dumps(record | {"fields": _fields(rest)}, default=shown)


def shown(value: Any) -> str:
    """An object without a form in JSON: its `repr`, without secrets. Never raises."""
    try:
        return redact_text(repr(value))
    except Exception:  # whatever somebody's `repr` raises
        return f"<{type(value).__name__}>"


def _fields(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The fields, each cut to its share, all of them to theirs; what is left out is said."""
    fields: dict[str, Any] = {}
    room = MAX_FIELDS_CHARS
    for name, value in entry.items():
        short = _short(name, value)
        room -= len(name) + (len(short) if isinstance(short, str) else len(json.dumps(short, default=shown)))
        if room < 0:
            fields["cut"] = f"{len(entry) - len(fields)} fields are left out"
            break
        fields[name[:MAX_NAME_CHARS]] = short
    return fields


def _short(name: str, value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, dict | list | tuple):
        text = json.dumps(value, default=shown)
        return value if len(text) <= MAX_FIELD_CHARS else _cut(text, MAX_FIELD_CHARS)
    text = value if isinstance(value, str) else shown(value)
    return _cut(text, MAX_FIELD_CHARS, keep_end=name == TRACEBACK)


def _cut(text: str, limit: int, *, keep_end: bool = False) -> str:
    """A traceback says at its end what happened, everything else at its beginning."""
    if len(text) <= limit:
        return text
    note = f"[{len(text) - limit} of {len(text)} characters cut]"
    return f"{note} {text[-limit:]}" if keep_end else f"{text[:limit]} {note}"


def _uuid(value: Any) -> str | None:
    try:
        return str(UUID(str(value))) if value is not None else None
    except ValueError:
        return None
