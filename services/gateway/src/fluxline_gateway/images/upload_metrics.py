"""What the gateway tells Prometheus of uploaded photos."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter

ACCEPTED: Final = "accepted"


class UploadMetrics:
    """Files by verdict, and their bytes."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self._verdicts = Counter(
            "fluxline_uploaded_images",
            "Uploaded files, by verdict: accepted, or why not",
            ("verdict",),
            registry=registry,
        )
        self._bytes = Counter("fluxline_uploaded_bytes", "Bytes of uploaded files", registry=registry)
        self._verdicts.labels(ACCEPTED)

    def count(self, size_bytes: int, verdict: str = ACCEPTED) -> None:
        """A file was judged; a verdict that is not `ACCEPTED` is a code of `ImageRejected`."""
        self._verdicts.labels(verdict).inc()
        self._bytes.inc(size_bytes)
