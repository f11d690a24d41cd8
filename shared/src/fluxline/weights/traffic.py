"""How many bytes of weights a service takes in and gives out."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter

DIRECTIONS: Final = ("in", "out")


class WeightsTraffic:
    """`fluxline_weights_bytes_total{direction}` of one process."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self._bytes = Counter(
            "fluxline_weights_bytes",
            "Bytes of weights that were fetched (in), and that were stored or published (out)",
            ("direction",),
            registry=registry,
        )
        for direction in DIRECTIONS:
            self._bytes.labels(direction)

    def took(self, size_bytes: int) -> None:
        """Weights have been fetched."""
        self._bytes.labels("in").inc(size_bytes)

    def gave(self, size_bytes: int) -> None:
        """Weights have been stored or published."""
        self._bytes.labels("out").inc(size_bytes)
