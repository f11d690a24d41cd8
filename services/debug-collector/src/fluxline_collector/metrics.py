"""What the collector tells Prometheus about itself."""

import time
from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from fluxline.contracts.alerts import SEVERITIES


class CollectorMetrics:
    """Events stored, unreadable ones among them, batch sizes."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.stored = Counter("fluxline_collector_events_stored", "Events stored", registry=registry)
        self.unreadable = Counter("fluxline_collector_events_unreadable", "Unreadable events stored", registry=registry)
        self.batch = Histogram(
            "fluxline_collector_batch_events", "Events per batch", buckets=(1, 10, 50, 100, 250, 500), registry=registry
        )
        self.newest = Gauge(
            "fluxline_collector_newest_seconds", "Age of the newest event when it was stored", registry=registry
        )


class LostEvents(Collector):
    """A counter that replicas share: its value is read from the table, and lasts."""

    value = 0

    def collect(self) -> Iterator[CounterMetricFamily]:
        """The counter as it is now."""
        text = "Messages that were gone from the stream before they could be stored"
        yield CounterMetricFamily("fluxline_collector_lost_events", text, value=self.value)


class LagMetrics:
    """What of the stream is not stored yet, and what never will be."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.messages = Gauge(
            "fluxline_collector_lag_messages", "Messages of the stream that are not stored yet", registry=registry
        )
        self.seconds = Gauge(
            "fluxline_collector_lag_seconds", "Age of the oldest message that is not stored yet", registry=registry
        )
        self.lost = LostEvents()
        registry.register(self.lost)


class LogMetrics:
    """Records of the services' logs that were stored, unreadable ones among them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.stored = Counter("fluxline_collector_logs_stored", "Log records stored", registry=registry)
        self.unreadable = Counter(
            "fluxline_collector_logs_unreadable", "Unreadable log records stored", registry=registry
        )


class AlertMetrics:
    """Open incidents, notices by kind of channel, and whether rules are evaluated at all, by whichever replica."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._evaluated = time.monotonic()
        self.incidents = Gauge(
            "fluxline_collector_alert_incidents", "Open incidents by severity", ["severity"], registry=registry
        )
        self.notices = Counter(
            "fluxline_collector_alert_notices",
            "Attempts to send a notice, by kind of channel and outcome: sent, again, failed",
            ["channel", "outcome"],
            registry=registry,
        )
        self.failures = Counter(
            "fluxline_collector_alert_evaluation_failures", "Evaluations that could not see all", registry=registry
        )
        age = Gauge(
            "fluxline_collector_alert_evaluation_age_seconds", "Age of the last evaluation of rules", registry=registry
        )
        age.set_function(lambda: time.monotonic() - self._evaluated)
        self.show(0.0, {})

    def show(self, age_s: float | None, incidents: Mapping[str, int]) -> None:
        """Set the gauges; without an age, nobody has evaluated yet and it goes on from the start of the process."""
        if age_s is not None:
            self._evaluated = time.monotonic() - max(0.0, age_s)
        for severity in SEVERITIES:
            self.incidents.labels(severity).set(incidents.get(severity, 0))
