"""The metrics of one process: its registry, and the series that the runtime itself keeps.

Labels are bounded: what comes from outside is replaced by a word of ours where it is not known.
"""

import platform
from functools import cached_property
from importlib.metadata import version

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)

from fluxline.runtime.http_metrics import HttpMetrics
from fluxline.runtime.message_metrics import MessageMetrics
from fluxline.runtime.provider_calls import ProviderCalls

STAGE_SECONDS = (0.1, 0.5, 1, 5, 15, 60, 300, 900, 1800, 3600)
LAG_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)
DROPPED_SPANS = ("queue_full", "export_failed", "shutdown")
"""Why spans never arrive: too many wait, the endpoint does not take them, the process ends before it does."""

disable_created_metrics()  # type: ignore[no-untyped-call]  # a series beside each counter, which nobody asks for


class Metrics:
    """The registry of the process of `service`, and the series that the runtime itself keeps."""

    def __init__(self, service: str = "") -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        build = Info("fluxline_build", "The service, its version and its Python", registry=self.registry)
        build.info({"service": service, "version": version("fluxline"), "python": platform.python_version()})
        self.stage_seconds = Histogram(
            "fluxline_stage_duration_seconds",
            "Duration of one attempt of a stage, by outcome and error category",
            ("stage", "outcome", "category"),
            buckets=STAGE_SECONDS,
            registry=self.registry,
        )
        self.loop_lag = Histogram(
            "fluxline_event_loop_lag_seconds",
            "How late the event loop comes to what is due",
            buckets=LAG_SECONDS,
            registry=self.registry,
        )
        self.spans_dropped = Counter(
            "fluxline_spans_dropped", "Spans that were not exported, by reason", ("reason",), registry=self.registry
        )
        for reason in DROPPED_SPANS:
            self.spans_dropped.labels(reason)

    def drop_spans(self, reason: str, count: int) -> None:
        """Spans will not be exported; `reason` is one of `DROPPED_SPANS`."""
        self.spans_dropped.labels(reason).inc(count)

    @cached_property
    def messages(self) -> MessageMetrics:
        """Of a process with consumers."""
        return MessageMetrics(self.registry)

    @cached_property
    def providers(self) -> ProviderCalls:
        """Of a process that calls providers."""
        return ProviderCalls(self.registry)

    @cached_property
    def http(self) -> HttpMetrics:
        """Of a process that answers more than probes."""
        return HttpMetrics(self.registry)
