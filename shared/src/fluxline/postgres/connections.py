"""Connections of a pool, as Prometheus sees them whenever it asks."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector


class Connections(NamedTuple):
    """How many are in use, open and idle, and could still be opened: together, the pool's limit."""

    used: int
    idle: int
    unopened: int


class DatabaseConnections(Collector):
    """`fluxline_database_connections{state}`; `count` is asked at each scrape."""

    def __init__(self, count: Callable[[], Connections]) -> None:
        self.count = count

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The pool now."""
        text = "Connections of the pool; the sum of the states is its limit"
        family = GaugeMetricFamily("fluxline_database_connections", text, labels=("state",))
        for state, value in self.count()._asdict().items():
            family.add_metric((state,), value)
        yield family
