"""What the gateway tells Prometheus of trainings: how many there are, how they end, how long they take."""

from collections.abc import Iterable
from typing import Final, NamedTuple, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from fluxline.contracts.errors import ErrorCategory
from fluxline.postgres.pool import Database
from fluxline.runtime.exemplars import exemplar
from fluxline_gateway.trainings.state import TERMINAL, Status

EVERY_S: Final = 5.0
DURATION_SECONDS: Final = (10, 30, 60, 120, 300, 600, 900, 1800, 2700, 3600, 7200, 14_400, 28_800, 86_400)
_COUNT: Final = "SELECT status, count(*) AS jobs FROM trainings GROUP BY status"


class JobEnd(NamedTuple):
    """A training has reached `status`; `category` is that of its error, empty without one."""

    status: str
    category: str
    duration_s: float


class JobMetrics:
    """The series of trainings. An end is counted by the replica whose transaction stores it, and by no other."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self._now = Gauge("fluxline_jobs", "Trainings that there are, by status", ("status",), registry=registry)
        self._ended = Counter(
            "fluxline_jobs_ended",
            "Trainings that ended, by status and category of the error",
            ("status", "category"),
            registry=registry,
        )
        self._seconds = Histogram(
            "fluxline_job_duration_seconds",
            "From the request for a training until its end",
            ("status",),
            buckets=DURATION_SECONDS,
            registry=registry,
        )
        for status in get_args(Status):
            self._now.labels(status)
        for status in sorted(TERMINAL):
            self._seconds.labels(status)
            for category in ErrorCategory if status == "failed" else ("",):
                self._ended.labels(status, category)

    def count(self, ends: Iterable[JobEnd]) -> None:
        """Trainings whose end is stored."""
        for end in ends:
            self._ended.labels(end.status, end.category).inc()
            self._seconds.labels(end.status).observe(max(0.0, end.duration_s), exemplar())

    async def look(self, database: Database) -> None:
        """Count the rows; raises what asyncpg raises."""
        found = {row["status"]: row["jobs"] for row in await database.pool.fetch(_COUNT)}
        for status in get_args(Status):
            self._now.labels(status).set(found.get(status, 0))
