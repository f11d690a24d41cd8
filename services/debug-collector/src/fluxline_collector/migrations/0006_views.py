"""The views that anybody with a SQL prompt may ask; `\\d+` explains each of them and its columns.

`ended_attempts` and `job_overview` have one row per attempt and per training, and say once what the other views and
the HTTP API mean by a category, a beginning, an end. Times are UTC where they are cut to hours and days. Percentiles
are those of `percentile_cont`: between two measured values they are interpolated.
"""

from alembic import op

revision = "0006"
down_revision = "0005"

INDEXES = (
    "CREATE INDEX jobs_by_beginning ON jobs ((coalesce(requested_at, first_at)), training_id)",
    "CREATE INDEX jobs_by_payment ON jobs ((coalesce(succeeded_at, last_at))) WHERE cost_usd IS NOT NULL",
    "CREATE INDEX attempts_of_job ON attempts ((coalesce(generation_id, training_id)), stage, sequence)",
    "CREATE INDEX attempts_newest ON attempts (stage, ended_at) INCLUDE (duration_ms) WHERE outcome = 'succeeded'",
)
PERCENTILES = ", ".join(
    f"round(percentile_cont({share / 100}) WITHIN GROUP (ORDER BY duration_ms))::bigint AS p{share}_ms"
    for share in (50, 90, 95, 99)
)
_FAILURE_RATES_BY = """
    SELECT '{bucket}' AS bucket, at, stage, provider, service_version, nullif(category, '') AS category,
        (sum(attempts) FILTER (WHERE category = '') OVER same)::bigint AS attempts, failed, retried,
        round((failed + retried) / sum(attempts) FILTER (WHERE category = '') OVER same, 4) AS error_rate
    FROM (
        SELECT {bucket} AS at, stage, provider, service_version, coalesce(category, '') AS category,
            count(*) AS attempts, count(*) FILTER (WHERE outcome = 'failed') AS failed,
            count(*) FILTER (WHERE outcome = 'retried') AS retried
        FROM ended_attempts GROUP BY {bucket}, stage, provider, service_version, GROUPING SETS ((), (category))
        HAVING grouping(category) = 1 OR category IS NOT NULL
    ) AS counted
    WINDOW same AS (PARTITION BY at, stage, provider, service_version)
"""
VIEWS = {
    "ended_attempts": """
SELECT coalesce(generation_id, training_id) AS job_id, training_id, generation_id, sequence, stage, attempt, outcome,
    CASE WHEN outcome <> 'succeeded' THEN coalesce(category, 'unknown') END AS category, retryable, ended_at,
    date_trunc('hour', ended_at, 'UTC') AS hour, date_trunc('day', ended_at, 'UTC') AS day,
    CASE WHEN outcome <> 'retried' OR duration_ms > 0 THEN duration_ms END AS duration_ms,
    coalesce(provider, 'unknown') AS provider, service, coalesce(service_version, 'unknown') AS service_version
FROM attempts""",
    "stage_durations": f"""
SELECT day, stage, outcome, provider, count(*) AS attempts, {PERCENTILES}, max(duration_ms) AS max_ms
FROM ended_attempts GROUP BY day, stage, outcome, provider""",  # noqa: S608 – constants of this module
    "provider_latency": f"""
SELECT day, provider, stage, count(*) AS attempts,
    round(count(*) FILTER (WHERE outcome <> 'succeeded') / count(*)::numeric, 4) AS error_rate,
    {PERCENTILES}, max(duration_ms) AS max_ms
FROM ended_attempts GROUP BY day, provider, stage""",  # noqa: S608 – constants of this module
    "failure_rates": " UNION ALL ".join(_FAILURE_RATES_BY.format(bucket=bucket) for bucket in ("hour", "day")),
    "retried_attempts": """
SELECT a.job_id, a.training_id, a.generation_id, a.sequence, a.stage, a.attempt, a.category, a.provider,
    a.service_version, CASE a.outcome WHEN 'retried' THEN 'automatic' ELSE 'by_hand' END AS kind,
    a.ended_at AS failed_at,
    CASE WHEN a.outcome = 'failed' OR next.attempt > a.attempt THEN next.outcome END AS run_outcome,
    CASE WHEN a.outcome = 'failed' OR next.attempt > a.attempt THEN next.sequence END AS run_sequence,
    CASE WHEN a.outcome = 'failed' OR next.attempt > a.attempt THEN
        greatest(0, round(extract(epoch FROM next.ended_at - a.ended_at) * 1000))::bigint END AS took_ms
FROM ended_attempts AS a
LEFT JOIN LATERAL (
    SELECT b.outcome, b.attempt, b.sequence, b.ended_at FROM ended_attempts AS b
    WHERE b.job_id = a.job_id AND b.stage = a.stage AND b.sequence > a.sequence
        AND (b.outcome <> 'retried' OR (a.outcome = 'retried' AND b.attempt <= a.attempt))
    ORDER BY b.sequence LIMIT 1
) AS next ON true
WHERE a.outcome = 'retried' OR (a.outcome = 'failed' AND EXISTS (
    SELECT FROM ended_attempts AS b WHERE b.job_id = a.job_id AND b.stage = a.stage AND b.sequence > a.sequence
))""",
    "retried_runs": """
SELECT job_id, stage, category, kind, min(provider) AS provider, min(service_version) AS service_version,
    min(failed_at) AS failed_at, count(*) AS attempts, run_outcome, max(took_ms) AS took_ms
FROM retried_attempts GROUP BY job_id, stage, category, kind, run_sequence, run_outcome""",
    "retries_that_helped": """
SELECT stage, category, kind, sum(attempts)::bigint AS attempts, count(*) AS runs,
    count(*) FILTER (WHERE run_outcome = 'succeeded') AS succeeded,
    count(*) FILTER (WHERE run_outcome = 'failed') AS failed,
    count(*) FILTER (WHERE run_outcome IS NULL) AS undecided,
    round(count(*) FILTER (WHERE run_outcome = 'succeeded') / nullif(count(run_outcome), 0)::numeric, 4)
        AS success_rate,
    round(percentile_cont(0.5) WITHIN GROUP (ORDER BY took_ms) FILTER (WHERE run_outcome = 'succeeded'))::bigint
        AS p50_ms,
    round(percentile_cont(0.95) WITHIN GROUP (ORDER BY took_ms) FILTER (WHERE run_outcome = 'succeeded'))::bigint
        AS p95_ms
FROM retried_runs GROUP BY stage, category, kind""",
    "job_overview": """
SELECT training_id, name, owner, status,
    CASE WHEN status = 'failed' THEN coalesce(failed_stage, stage) ELSE stage END AS stage,
    CASE WHEN status = 'failed' THEN category END AS category,
    CASE WHEN status = 'failed' THEN retryable END AS retryable,
    CASE WHEN status = 'failed' THEN message END AS message,
    coalesce(requested_at, first_at) AS began_at,
    CASE WHEN status <> 'running' THEN coalesce(ended_at, last_at) END AS ended_at, last_at,
    provider, external_id, cost_usd, image_count, retries, errors, events, trace_id
FROM jobs""",
    "usual_stage_times": """
SELECT stage, count(duration_ms) AS attempts,
    round(percentile_cont(0.5) WITHIN GROUP (ORDER BY duration_ms))::bigint AS p50_ms,
    round(percentile_cont(0.99) WITHIN GROUP (ORDER BY duration_ms))::bigint AS p99_ms,
    greatest(600000, round(percentile_cont(0.99) WITHIN GROUP (ORDER BY duration_ms))::bigint) AS stuck_after_ms
FROM unnest(ARRAY['zip_creation', 'replicate_training', 'huggingface_upload', 'completion', 'image_generation'])
    AS known (stage)
LEFT JOIN LATERAL (
    SELECT a.duration_ms FROM attempts AS a
    WHERE a.stage = known.stage AND a.outcome = 'succeeded' ORDER BY a.ended_at DESC LIMIT 1000
) AS newest ON true
GROUP BY stage""",
    "stuck_jobs": """
WITH usual AS MATERIALIZED (SELECT stage, p99_ms, stuck_after_ms FROM usual_stage_times)
SELECT j.training_id, j.name, j.owner, j.stage, j.began_at, j.last_at,
    round(extract(epoch FROM now() - j.last_at) * 1000)::bigint AS silent_ms, usual.p99_ms,
    coalesce(usual.stuck_after_ms, 600000) AS stuck_after_ms, j.provider, j.external_id, j.trace_id
FROM job_overview AS j LEFT JOIN usual USING (stage)
WHERE j.status = 'running' AND j.last_at < now() - coalesce(usual.stuck_after_ms, 600000) * interval '1 ms'
ORDER BY j.last_at""",
    "slow_jobs": """
SELECT j.training_id, j.name, j.owner, j.status, j.stage, j.began_at, j.ended_at,
    round(extract(epoch FROM coalesce(j.ended_at, now()) - j.began_at) * 1000)::bigint AS duration_ms,
    work.work_ms, work.slowest_stage, work.slowest_stage_ms, j.retries, j.provider, j.image_count, j.cost_usd
FROM job_overview AS j
LEFT JOIN (
    SELECT training_id, sum(ms)::bigint AS work_ms, (array_agg(stage ORDER BY ms DESC))[1] AS slowest_stage,
        max(ms)::bigint AS slowest_stage_ms
    FROM (
        SELECT training_id, stage, sum(duration_ms) AS ms FROM attempts
        WHERE generation_id IS NULL GROUP BY training_id, stage
    ) AS stages GROUP BY training_id
) AS work USING (training_id)
ORDER BY duration_ms DESC""",
    "job_costs": """
SELECT training_id, name, owner, status, coalesce(provider, 'unknown') AS provider,
    coalesce(succeeded_at, last_at) AS paid_at, date_trunc('day', coalesce(succeeded_at, last_at), 'UTC') AS day,
    (SELECT count(*) FROM jsonb_object_keys(costs)) AS runs, cost_usd, image_count
FROM jobs WHERE cost_usd IS NOT NULL""",
    "provider_costs": """
SELECT day, provider, count(*) AS jobs, sum(runs)::bigint AS runs, sum(cost_usd) AS cost_usd,
    round(avg(cost_usd), 6) AS mean_usd, max(cost_usd) AS max_usd,
    coalesce(sum(cost_usd) FILTER (WHERE status IN ('failed', 'canceled')), 0) AS lost_usd
FROM job_costs GROUP BY day, provider""",
}
EXPLAINED = {
    "ended_attempts": "One row per ended attempt at a stage, of trainings and of generations.",
    "stage_durations": "How long attempts took, by day, stage, outcome and provider.",
    "provider_latency": "How long attempts took whatever came of them, by day, provider and stage.",
    "failure_rates": "Which share of the attempts went wrong, by hour and by day: choose one of both with bucket.",
    "retried_attempts": "One row per failed attempt after which the stage was tried again, and what came of that.",
    "retried_runs": "One row per run of a stage and category of error that it met and went on after.",
    "retries_that_helped": "Whether trying again helped, by stage, category and who did it, over all time.",
    "job_overview": "One row per training: where it stands, since when, at what cost.",
    "usual_stage_times": "How long a stage takes: the newest 1,000 succeeded attempts of each.",
    "stuck_jobs": "Running trainings that have been silent for longer than their stage takes, longest first.",
    "slow_jobs": "Every training by how long it took from request to end (or has taken so far), slowest first.",
    "job_costs": "What each training has cost at the provider; those without a known price are left out.",
    "provider_costs": "What trainings have cost, by day and provider.",
}
COLUMNS = {
    "attempt": "Number of the attempt in its run, from 1.",
    "attempts": "How many attempts ended.",
    "began_at": "When the training was requested.",
    "bucket": "hour or day: what `at` is cut to. Every attempt is in one row of each.",
    "at": "Beginning of the hour or day (UTC) in which the attempts ended.",
    "category": "Error category; null where nothing failed.",
    "cost_usd": "US dollars, all paid runs of the provider together.",
    "day": "Beginning of the day (UTC) in which the attempts ended.",
    "duration_ms": "Milliseconds from start to end; null for an attempt that was cut off, whose time is not known.",
    "ended_at": "When it ended, by the sender's clock; null while it runs.",
    "error_rate": "(failed + retried) / attempts, from 0 to 1.",
    "errors": "Attempts that failed, those that were tried again included.",
    "events": "How many events it has.",
    "external_id": "The provider's id of the newest run.",
    "failed": "Attempts after which the stage gave up.",
    "failed_at": "When the attempt failed.",
    "generation_id": "The generation, null for attempts of trainings.",
    "hour": "Beginning of the hour (UTC) in which the attempt ended.",
    "image_count": "How many images it is trained on.",
    "job_id": "The generation where there is one, the training otherwise.",
    "jobs": "How many trainings.",
    "kind": "automatic: the stage tried again by itself; by_hand: it had given up, and somebody made it begin again.",
    "last_at": "When the newest event was stored.",
    "lost_usd": "The part of cost_usd that was paid for trainings that have failed or are canceled.",
    "max_ms": "The longest, in milliseconds.",
    "max_usd": "US dollars of the dearest training.",
    "mean_usd": "US dollars per training on average.",
    "message": "What happened, of a failed training.",
    "name": "Its name.",
    "outcome": "succeeded, retried (failed and tried again) or failed (gave up).",
    "owner": "Whose it is.",
    "paid_at": "When the newest paid run succeeded; all runs of the training are counted then.",
    "provider": "Who the stage talks to, or unknown.",
    "p50_ms": "Median in milliseconds.",
    "p90_ms": "90th percentile in milliseconds.",
    "p95_ms": "95th percentile in milliseconds.",
    "p99_ms": "99th percentile in milliseconds.",
    "retried": "Attempts after which the stage tried again.",
    "retries": "How often a stage tried again by itself.",
    "retryable": "Whether trying again can help.",
    "run_outcome": "How the run of the stage ended after it: succeeded, failed; null while it goes on, or if canceled.",
    "run_sequence": "The sequence of that end in the stream.",
    "runs": "How many runs.",
    "sequence": "The sequence of its event in the stream: the order of everything.",
    "service": "The service that worked.",
    "service_version": "Version of the service that worked, or unknown.",
    "silent_ms": "Milliseconds since the newest event.",
    "slowest_stage": "The stage whose attempts took longest together.",
    "slowest_stage_ms": "Milliseconds of work of that stage.",
    "stage": "zip_creation, replicate_training, huggingface_upload, completion or image_generation.",
    "status": "running, succeeded, failed or canceled.",
    "stuck_after_ms": "Milliseconds of silence that are too many: p99_ms, or 10 minutes if that is more.",
    "succeeded": "Runs that succeeded after it.",
    "success_rate": "succeeded / (succeeded + failed), from 0 to 1; null when no run has ended.",
    "took_ms": "Milliseconds from the failed attempt to the end of its run.",
    "trace_id": "The trace of its first event.",
    "training_id": "The training; of a generation that of its model.",
    "undecided": "Runs that go on, or were canceled.",
    "work_ms": "Milliseconds of all its attempts together: the rest of the duration it waited.",
}
EXPLAINED_OTHERWISE = {
    ("failure_rates", "category"): "Error category; null for all of them together, and then also where nothing failed.",
    (
        "failure_rates",
        "attempts",
    ): "All attempts of this stage, provider and version, the same number in each category.",
    ("failure_rates", "failed"): "Attempts with this category after which the stage gave up.",
    ("failure_rates", "retried"): "Attempts with this category after which the stage tried again.",
    ("job_costs", "day"): "The day (UTC) of paid_at.",
    ("job_costs", "runs"): "How many paid runs succeeded.",
    ("job_overview", "category"): "Error category of a failed training.",
    ("job_overview", "stage"): "Where it is; where it failed.",
    ("provider_costs", "day"): "The day (UTC) on which the newest paid run of the training succeeded.",
    ("provider_costs", "runs"): "How many paid runs succeeded.",
    ("retried_runs", "attempts"): "How many attempts of the run failed with this category.",
    ("retried_runs", "failed_at"): "When the first of them failed.",
    ("retried_runs", "took_ms"): "Milliseconds from the first of them to the end of the run.",
    ("retries_that_helped", "attempts"): "How many failed attempts were followed by another.",
    ("retries_that_helped", "failed"): "Runs that failed in the end all the same.",
    ("retries_that_helped", "p50_ms"): "Median of the milliseconds from the first failed attempt to success.",
    ("retries_that_helped", "p95_ms"): "95th percentile of the milliseconds from the first failed attempt to success.",
    ("retries_that_helped", "runs"): "How many runs of the stage met this category and went on; each is counted once.",
    (
        "slow_jobs",
        "duration_ms",
    ): "Milliseconds from the request to the end, waits for its owner included; to now if open.",
    ("usual_stage_times", "attempts"): "How many attempts were looked at, 1,000 at most.",
}
_COLUMNS_OF = "SELECT attname FROM pg_attribute WHERE attrelid = '{view}'::regclass AND attnum > 0"


def upgrade() -> None:
    """Make the views, with a comment on each and on all of their columns."""
    for index in INDEXES:
        op.execute(index)
    for view, query in VIEWS.items():
        op.execute(f"CREATE VIEW {view} AS {query}")
        op.execute(f"COMMENT ON VIEW {view} IS {_quoted(EXPLAINED[view])}")
        for (column,) in op.get_bind().exec_driver_sql(_COLUMNS_OF.format(view=view)):
            text = EXPLAINED_OTHERWISE.get((view, column)) or COLUMNS[column]
            op.execute(f"COMMENT ON COLUMN {view}.{column} IS {_quoted(text)}")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
