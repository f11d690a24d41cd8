"""What the zipper tells Prometheus of its photos."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram

from fluxline.runtime.exemplars import exemplar

ACCEPTED: Final = "accepted"
IMAGE_SECONDS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class ImageMetrics:
    """Photos by verdict, seconds for each, bytes of originals (in) and of what they became (out)."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self._verdicts = Counter(
            "fluxline_images",
            "Photos of trainings, by verdict: accepted, or why not",
            ("verdict",),
            registry=registry,
        )
        self._seconds = Histogram(
            "fluxline_image_seconds",
            "From fetching a photo until it is prepared or refused",
            buckets=IMAGE_SECONDS,
            registry=registry,
        )
        self._bytes = Counter(
            "fluxline_image_bytes",
            "Bytes of originals (in) and of prepared photos (out)",
            ("direction",),
            registry=registry,
        )
        self._verdicts.labels(ACCEPTED)
        for direction in ("in", "out"):
            self._bytes.labels(direction)

    @contextmanager
    def judging(self) -> Iterator[None]:
        """One photo is looked at inside the block."""
        begun = perf_counter()
        try:
            yield
        finally:
            self._seconds.observe(perf_counter() - begun, exemplar())

    def accept(self, original_bytes: int, prepared_bytes: int) -> None:
        """A photo is prepared."""
        self._verdicts.labels(ACCEPTED).inc()
        self._bytes.labels("in").inc(original_bytes)
        self._bytes.labels("out").inc(prepared_bytes)

    def refuse(self, code: str) -> None:
        """A photo is refused; `code` is one of `ImageRejected`."""
        self._verdicts.labels(code).inc()
