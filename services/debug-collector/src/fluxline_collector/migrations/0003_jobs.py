"""What is asked across jobs, in two narrow tables that are written with the events and outlive them.

`jobs` has one row per training: where it stands by its newest events. `attempts` has one row per ended attempt of a
stage (`stage.succeeded`, `stage.retried`, `stage.failed`). Sequences order everything: a stream that is made anew goes
on above every sequence of the lost one. Each `*_sequence` column is that of the event which its group of columns was
taken from; newer ones replace the group, whatever the order in which events are stored (see
`fluxline_collector.rollup`). `verdict` is what the events that end a job or begin it anew say; `status` is the same,
but `running` again once a dead letter of the failure is replayed. `costs` has the price of each paid run by its id at
the provider, `cost_usd` their sum.
"""

from alembic import op

revision = "0003"
down_revision = "0002"

JOBS = """
CREATE TABLE jobs (
    training_id uuid PRIMARY KEY,
    owner text,
    name text,
    facts_sequence bigint NOT NULL DEFAULT 0,
    status text NOT NULL DEFAULT 'running' CHECK (status IN ('running', 'succeeded', 'failed', 'canceled')),
    verdict text NOT NULL DEFAULT 'running',
    status_rank integer NOT NULL DEFAULT 0,
    status_sequence bigint NOT NULL DEFAULT 0,
    replayed_sequence bigint NOT NULL DEFAULT 0,
    stage text,
    stage_sequence bigint NOT NULL DEFAULT 0,
    failed_stage text,
    category text,
    retryable boolean,
    message text,
    requested_at timestamptz,
    started_at timestamptz,
    started_sequence bigint NOT NULL DEFAULT 0,
    succeeded_at timestamptz,
    succeeded_sequence bigint NOT NULL DEFAULT 0,
    ended_at timestamptz,
    first_at timestamptz NOT NULL,
    last_at timestamptz NOT NULL,
    last_sequence bigint NOT NULL,
    provider text,
    provider_version text,
    trainer_version text,
    external_id text,
    provider_sequence bigint NOT NULL DEFAULT 0,
    cost_usd numeric,
    costs jsonb NOT NULL DEFAULT '{}',
    image_count integer,
    events bigint NOT NULL DEFAULT 0,
    retries integer NOT NULL DEFAULT 0,
    errors integer NOT NULL DEFAULT 0,
    trace_id text,
    trace_sequence bigint
)
"""
ATTEMPTS = """
CREATE TABLE attempts (
    event_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    sequence bigint NOT NULL,
    stored_at timestamptz NOT NULL,
    training_id uuid,
    generation_id uuid,
    stage text NOT NULL,
    attempt integer NOT NULL,
    outcome text NOT NULL CHECK (outcome IN ('succeeded', 'retried', 'failed')),
    category text,
    retryable boolean,
    ended_at timestamptz NOT NULL,
    duration_ms bigint NOT NULL,
    service text,
    service_version text,
    provider text
)
"""
MERGED_COSTS = """
CREATE FUNCTION merged_costs(one jsonb, other jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT coalesce(jsonb_object_agg(run, amount), '{}') FROM (
        SELECT run, max(amount::numeric) AS amount
        FROM (SELECT * FROM jsonb_each_text(one) UNION ALL SELECT * FROM jsonb_each_text(other)) AS paid (run, amount)
        GROUP BY run
    ) AS merged
$$
"""
TOTAL_COST = """
CREATE FUNCTION total_cost(costs jsonb) RETURNS numeric LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT sum(amount::numeric) FROM jsonb_each_text(costs) AS each_of (run, amount)
$$
"""
INDEXES = (
    "CREATE INDEX jobs_by_last ON jobs (last_at)",
    "CREATE INDEX jobs_by_first ON jobs (first_at)",
    "CREATE INDEX jobs_by_request ON jobs (requested_at, training_id)",
    "CREATE INDEX jobs_running ON jobs (stage, last_at) WHERE status = 'running'",
    "CREATE INDEX attempts_by_end ON attempts (ended_at)",
    "CREATE INDEX attempts_by_storing ON attempts (stored_at)",
    "CREATE INDEX attempts_of_training ON attempts (training_id, stage, sequence)",
)


def upgrade() -> None:
    """Make both tables, their indexes, and what adds up the costs of a job's paid runs."""
    for statement in (JOBS, ATTEMPTS, MERGED_COSTS, TOTAL_COST, *INDEXES):
        op.execute(statement)
