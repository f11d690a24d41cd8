"""The questions across jobs, in SQL, over the views of migration 0006.

Of each, $1 and $2 are the span, $3 is how many rows at most, $4 whether to begin after a key (the last parameters)
instead of at the first row; then come the filters, null where there is none.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Final
from uuid import UUID

from pydantic import BaseModel, Field, TypeAdapter

from fluxline.contracts.insights import (
    STUCK_AFTER_MS,
    FailureRate,
    JobInsight,
    JobSort,
    ProviderCosts,
    ProviderLatency,
    RetryInsight,
    StageDurations,
)
from fluxline_collector.insight_cursor import Moment

Amount = Annotated[Decimal, Field(max_digits=100, ge=-(10**15), le=10**15)]
"""US dollars, within what PostgreSQL can hold."""


@dataclass(frozen=True)
class Question:
    """One list: `model` of its rows, `filters` in the order of $5 and up, `key` columns that order it, of `kind`."""

    model: type[BaseModel]
    filters: tuple[str, ...]
    key: tuple[str, ...]
    kind: TypeAdapter[Any]
    rows: str
    descending: bool = False
    more: str = ""
    """Joined to the rows of the page alone."""

    @property
    def sql(self) -> str:
        """The statement: the rows, those after the key, in their order."""
        first = len(self.filters) + 5
        after = ", ".join(f"${first + n}" for n in range(len(self.key)))
        direction, beyond = (" DESC", "<") if self.descending else ("", ">")
        order = ", ".join(f"{column}{direction}" for column in self.key)
        page = f"""SELECT * FROM ({self.rows}) AS found
WHERE NOT $4 OR ({", ".join(self.key)}) {beyond} ({after}) ORDER BY {order} LIMIT $3"""  # noqa: S608 – constants
        return f"SELECT page.*{self.more} ORDER BY {order}".replace("{page}", page) if self.more else page


def _at(hour: str, day: str, bucket: str) -> str:
    return f"CASE {bucket}::text WHEN 'hour' THEN {hour} WHEN 'day' THEN {day} ELSE $1 END"


_PERCENTILES: Final = ", ".join(
    f"round(percentile_cont({share / 100}) WITHIN GROUP (ORDER BY duration_ms))::bigint AS p{share}_ms"
    for share in (50, 90, 95, 99)
)
_ENDED: Final = """FROM ended_attempts WHERE ended_at >= $1 AND ended_at < $2
    AND ($6::text IS NULL OR stage = $6) AND ($7::text IS NULL OR provider = $7)
    AND ($8::text IS NULL OR service_version = $8)"""
_OF_ATTEMPTS: Final = ("bucket", "stage", "provider", "version")

STAGES: Final = Question(
    StageDurations,
    _OF_ATTEMPTS,
    ("at", "stage", "provider", "outcome"),
    TypeAdapter(tuple[Moment, str, str, str]),
    f"""SELECT {_at("hour", "day", "$5")} AS at, stage, provider, outcome, count(*) AS attempts, {_PERCENTILES},
        max(duration_ms) AS max_ms {_ENDED} GROUP BY 1, stage, provider, outcome""",
)
PROVIDERS: Final = Question(
    ProviderLatency,
    _OF_ATTEMPTS,
    ("at", "provider", "stage"),
    TypeAdapter(tuple[Moment, str, str]),
    f"""SELECT {_at("hour", "day", "$5")} AS at, provider, stage, count(*) AS attempts,
        round(count(*) FILTER (WHERE outcome <> 'succeeded') / count(*)::numeric, 4) AS error_rate, {_PERCENTILES},
        max(duration_ms) AS max_ms {_ENDED} GROUP BY 1, provider, stage""",
)
FAILURES: Final = Question(
    FailureRate,
    (*_OF_ATTEMPTS, "category"),
    ("at", "fewest", "stage", "provider", "service_version", "category_key"),
    TypeAdapter(tuple[Moment, int, str, str, str, str]),
    f"""SELECT *, -(failed + retried) AS fewest, round((failed + retried) / attempts::numeric, 4) AS error_rate FROM (
        SELECT at, stage, provider, service_version, category_key, nullif(category_key, '') AS category,
            failed, retried, (sum(counted) FILTER (WHERE category_key = '')
                OVER (PARTITION BY at, stage, provider, service_version))::bigint AS attempts
        FROM (
            SELECT at, stage, provider, service_version, coalesce(category, '') AS category_key, count(*) AS counted,
                count(*) FILTER (WHERE outcome = 'failed') AS failed,
                count(*) FILTER (WHERE outcome = 'retried') AS retried
            FROM (SELECT {_at("hour", "day", "$5")} AS at, stage, provider, service_version, category, outcome {_ENDED})
                AS ended
            GROUP BY at, stage, provider, service_version, GROUPING SETS ((), (category))
            HAVING grouping(category) = 1 OR category IS NOT NULL
        ) AS grouped
    ) AS rated WHERE $9::text IS NULL OR category = $9""",  # noqa: S608 – constants
)
RETRIES: Final = Question(
    RetryInsight,
    ("stage", "category", "provider", "version"),
    ("fewest", "stage", "category", "kind"),
    TypeAdapter(tuple[int, str, str, str]),
    """SELECT -sum(attempts)::bigint AS fewest, stage, category, kind, sum(attempts)::bigint AS attempts,
        count(*) AS runs,
        count(*) FILTER (WHERE run_outcome = 'succeeded') AS succeeded,
        count(*) FILTER (WHERE run_outcome = 'failed') AS failed,
        count(*) FILTER (WHERE run_outcome IS NULL) AS undecided,
        round(count(*) FILTER (WHERE run_outcome = 'succeeded') / nullif(count(run_outcome), 0)::numeric, 4)
            AS success_rate,
        round(percentile_cont(0.5) WITHIN GROUP (ORDER BY took_ms) FILTER (WHERE run_outcome = 'succeeded'))::bigint
            AS p50_ms,
        round(percentile_cont(0.95) WITHIN GROUP (ORDER BY took_ms) FILTER (WHERE run_outcome = 'succeeded'))::bigint
            AS p95_ms
    FROM (
        SELECT stage, category, kind, count(*) AS attempts, run_outcome, max(took_ms) AS took_ms
        FROM retried_attempts WHERE failed_at >= $1 AND failed_at < $2 AND ($5::text IS NULL OR stage = $5)
            AND ($6::text IS NULL OR category = $6) AND ($7::text IS NULL OR provider = $7)
            AND ($8::text IS NULL OR service_version = $8)
        GROUP BY job_id, stage, category, kind, run_sequence, run_outcome
    ) AS runs GROUP BY stage, category, kind""",
)
COSTS: Final = Question(
    ProviderCosts,
    ("bucket", "provider", "owner"),
    ("at", "provider"),
    TypeAdapter(tuple[Moment, str]),
    f"""SELECT {_at("date_trunc('hour', paid_at, 'UTC')", "day", "$5")} AS at, provider, count(*) AS jobs,
        sum(runs)::bigint AS runs, sum(cost_usd) AS cost_usd, round(avg(cost_usd), 6) AS mean_usd,
        max(cost_usd) AS max_usd,
        coalesce(sum(cost_usd) FILTER (WHERE status IN ('failed', 'canceled')), 0) AS lost_usd
    FROM job_costs WHERE paid_at >= $1 AND paid_at < $2 AND ($6::text IS NULL OR provider = $6)
        AND ($7::text IS NULL OR owner = $7) GROUP BY 1, provider""",  # noqa: S608 – constants
)
_MS: Final = "round(extract(epoch FROM {later} - {earlier}) * 1000)::bigint"
_JOBS: Final = f"""WITH usual AS MATERIALIZED (SELECT stage, stuck_after_ms FROM usual_stage_times)
    SELECT * FROM (
        SELECT j.*, greatest(0, {_MS.format(later="coalesce(ended_at, $5)", earlier="began_at")}) AS duration_ms,
            CASE WHEN status = 'running' THEN greatest(0, {_MS.format(later="$5", earlier="last_at")}) END AS silent_ms,
            CASE WHEN status = 'running' THEN coalesce(stuck_after_ms, {STUCK_AFTER_MS}) END AS stuck_after_ms,
            status = 'running' AND $5 - last_at > coalesce(stuck_after_ms, {STUCK_AFTER_MS}) * interval '1 ms' AS stuck
        FROM job_overview AS j LEFT JOIN usual USING (stage)
        WHERE began_at >= $1 AND began_at < $2
    ) AS jobs
    WHERE ($6::text IS NULL OR status = $6) AND ($7::text IS NULL OR stage = $7)
        AND ($8::text IS NULL OR category = $8) AND ($9::text IS NULL OR provider = $9)
        AND ($10::text IS NULL OR owner = $10) AND ($11::bigint IS NULL OR duration_ms >= $11)
        AND ($12::boolean IS NULL OR stuck = $12)
        AND ($13::text IS NULL OR position(lower($13) IN lower(
            concat_ws(' ', name, training_id, external_id, message))) > 0)"""  # noqa: S608 – constants
_OF_JOBS: Final = ("as_of", "status", "stage", "category", "provider", "owner", "min_duration_ms", "stuck", "q")
_WITH_WORK: Final = """, work.work_ms FROM ({page}) AS page CROSS JOIN LATERAL (
    SELECT coalesce(sum(duration_ms), 0)::bigint AS work_ms FROM attempts
    WHERE training_id = page.training_id AND generation_id IS NULL
) AS work"""


def _jobs(key: str, kind: Any, only: str = "") -> Question:
    return Question(JobInsight, _OF_JOBS, (key, "training_id"), kind, _JOBS + only, descending=True, more=_WITH_WORK)


JOBS: Final[dict[JobSort, Question]] = {
    "newest": _jobs("began_at", TypeAdapter(tuple[Moment, UUID])),
    "slowest": _jobs("duration_ms", TypeAdapter(tuple[int, UUID])),
    "costliest": _jobs("cost_usd", TypeAdapter(tuple[Amount, UUID]), " AND cost_usd IS NOT NULL"),
}
