"""What of the tables is looked at: new failures, attempts within a window, silent jobs, lost events."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from fluxline.postgres.pool import Connection
from fluxline.runtime.redaction import redact_text
from fluxline_collector.alerts.observations import SHOWN_JOBS, Attempts, Failure, Letters, Seen, Silence
from fluxline_collector.alerts.rules import RateRule, RuleSet, StuckRule
from fluxline_collector.alerts.sight import Sight

LOOK_BACK: Final = timedelta(days=3)
"""Failures that are stored later than this after they happened are no news any more."""
_FAILURES: Final = """
WITH failed AS (
    SELECT training_id AS job_id, status_sequence AS sequence, coalesce(failed_stage, stage) AS stage, category,
        coalesce((
            SELECT a.provider FROM attempts AS a
            WHERE a.training_id = jobs.training_id AND a.stage = jobs.failed_stage AND a.outcome <> 'succeeded'
            ORDER BY a.sequence DESC LIMIT 1
        ), provider) AS provider, message
    FROM jobs
    WHERE status = 'failed' AND ended_at > $1 AND NOT EXISTS (
        SELECT FROM alert_failures AS known WHERE (known.job_id, known.sequence) = (training_id, status_sequence))
    UNION ALL
    SELECT generation_id, sequence, stage, category, provider, NULL FROM attempts
    WHERE outcome = 'failed' AND generation_id IS NOT NULL AND stored_at > $1 AND NOT EXISTS (
        SELECT FROM alert_failures AS known WHERE (known.job_id, known.sequence) = (generation_id, attempts.sequence))
), fresh AS (
    INSERT INTO alert_failures (job_id, sequence) SELECT job_id, sequence FROM failed
    ON CONFLICT DO NOTHING RETURNING job_id, sequence
)
SELECT failed.* FROM failed JOIN fresh USING (job_id, sequence) ORDER BY sequence
"""
_ATTEMPTS: Final = """
SELECT stage, coalesce(provider, 'unknown') AS provider,
    CASE WHEN outcome <> 'succeeded' THEN coalesce(category, 'unknown') END AS category, count(*) AS count,
    (array_agg(coalesce(generation_id, training_id) ORDER BY sequence DESC)
        FILTER (WHERE outcome <> 'succeeded' AND coalesce(generation_id, training_id) IS NOT NULL))[1:$2] AS jobs
FROM attempts WHERE stored_at > now() - $1::interval GROUP BY 1, 2, 3 ORDER BY 4 DESC
"""
_SILENCES: Final = """
SELECT coalesce(j.stage, 'unknown') AS stage, count(*) AS count,
    (array_agg(j.training_id ORDER BY j.last_at DESC))[1:$2] AS jobs,
    extract(epoch FROM now() - min(j.last_at))::float8 AS longest_s
FROM jobs AS j LEFT JOIN usual_stage_times AS usual ON usual.stage = j.stage
WHERE j.status = 'running'
    AND j.last_at < now() - coalesce($1::interval, usual.stuck_after_ms * interval '1 ms', interval '10 minutes')
GROUP BY 1 ORDER BY 2 DESC
"""


async def look(connection: Connection, rules: RuleSet, sight: Sight, marks: Mapping[str, Any]) -> Seen:
    """All that the rules look at; marks failures as counted. `marks` is what `IncidentStore` says of the last look."""
    now, began_at = marks["now"], marks["began_at"]
    windows = {rule.window_s for rule in rules.rules if isinstance(rule, RateRule)}
    silences = {rule.silent_s for rule in rules.rules if isinstance(rule, StuckRule)}
    return Seen(
        failures=[
            Failure(row["job_id"], row["stage"], row["category"], row["provider"], redact_text(row["message"] or ""))
            for row in await connection.fetch(_FAILURES, max(began_at, now - LOOK_BACK))
        ],
        attempts={window_s: await _attempts(connection, window_s) for window_s in windows},
        silences={silent_s: await _silences(connection, silent_s) for silent_s in silences},
        backlogs=sight.backlogs,
        letters=None if sight.depths is None else letters_since(marks["letters"], sight.depths),
        lost=max(0, marks["lost_now"] - (marks["lost_now"] if marks["lost"] is None else marks["lost"])),
        behind_s=sight.behind_s,
    )


def letters_since(known: Mapping[str, int] | None, depths: Mapping[str, int]) -> list[Letters]:
    """Dead letters, and how many more there are of each consumer; at the first look none is new."""
    before = depths if known is None else known
    return [Letters(durable, depth, max(0, depth - before.get(durable, 0))) for durable, depth in depths.items()]


async def _attempts(connection: Connection, window_s: float) -> list[Attempts]:
    rows = await connection.fetch(_ATTEMPTS, timedelta(seconds=window_s), SHOWN_JOBS)
    return [
        Attempts(row["stage"], row["provider"], row["category"], row["count"], tuple(row["jobs"] or ())) for row in rows
    ]


async def _silences(connection: Connection, silent_s: float | None) -> list[Silence]:
    silence = None if silent_s is None else timedelta(seconds=silent_s)
    rows = await connection.fetch(_SILENCES, silence, SHOWN_JOBS)
    return [Silence(row["stage"], row["count"], tuple(row["jobs"]), row["longest_s"]) for row in rows]
