"""The way of spans out of the process: a bounded queue, a thread of its own, and nobody who waits for either.

Whatever the endpoint does (refuse, hang, answer with errors), spans are dropped and counted; at the end of the process
it has two seconds.
"""

import threading
from collections import deque
from collections.abc import Callable
from typing import Final

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

MAX_WAITING: Final = 8192
BATCH: Final = 512
EVERY_S: Final = 2.0
LAST_S: Final = 2.0
"""For what is left at the end of the process."""

OnDropped = Callable[[str, int], None]
"""Told why, and how many."""


class SpanQueue(SpanProcessor):
    """Hands ended spans to `exporter` in batches. `end` never waits; `on_dropped` is told what goes."""

    def __init__(
        self,
        exporter: SpanExporter,
        on_dropped: OnDropped = lambda _reason, _count: None,
        *,
        max_waiting: int = MAX_WAITING,
        last_s: float = LAST_S,
    ) -> None:
        self._exporter = exporter
        self._on_dropped = on_dropped
        self._max_waiting, self._last_s = max_waiting, last_s
        self._waiting: deque[ReadableSpan] = deque()
        self._in_hand = 0
        self._news, self._stopping, self._abandoned = threading.Event(), False, False
        self._thread = threading.Thread(target=self._run, name="span-export", daemon=True)
        self._thread.start()

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Nothing."""

    def on_end(self, span: ReadableSpan) -> None:
        """Queue the span, unless it is not sampled."""
        if span.context is None or not span.context.trace_flags.sampled:
            return
        if len(self._waiting) >= self._max_waiting or self._stopping:
            self._on_dropped("shutdown" if self._stopping else "queue_full", 1)
            return
        self._waiting.append(span)
        if len(self._waiting) >= BATCH:
            self._news.set()

    def shutdown(self) -> None:
        """Export what is left, if that is quick. Blocks for `last_s` at most."""
        self._stopping = True
        self._news.set()
        self._thread.join(self._last_s)
        self._abandoned = self._thread.is_alive()
        self._exporter.shutdown()
        if lost := len(self._waiting) + self._in_hand:
            self._on_dropped("shutdown", lost)
        self._waiting.clear()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Ask for what waits to be exported now; does not wait for it."""
        self._news.set()
        return True

    def _run(self) -> None:
        while not (self._stopping and not self._waiting):
            self._news.wait(EVERY_S)
            self._news.clear()
            while self._waiting:
                self._export([self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))])

    def _export(self, batch: list[ReadableSpan]) -> None:
        self._in_hand = len(batch)
        try:
            exported = self._exporter.export(batch) is SpanExportResult.SUCCESS
        except Exception:  # whatever the endpoint has made of it: telemetry ends no process
            exported = False
        self._in_hand = 0
        if not exported and not self._abandoned:
            self._on_dropped("export_failed", len(batch))
