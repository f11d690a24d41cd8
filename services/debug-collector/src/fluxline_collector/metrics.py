"""What the collector tells Prometheus about itself."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class CollectorMetrics:
    """Events stored, unreadable ones among them, batch sizes, and how far behind the stream the table is."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.stored = Counter("fluxline_collector_events_stored", "Events stored", registry=registry)
        self.unreadable = Counter("fluxline_collector_events_unreadable", "Unreadable events stored", registry=registry)
        self.batch = Histogram(
            "fluxline_collector_batch_events", "Events per batch", buckets=(1, 10, 50, 100, 250, 500), registry=registry
        )
        self.lag = Gauge(
            "fluxline_collector_lag_seconds", "Age of the newest event when it was stored", registry=registry
        )
