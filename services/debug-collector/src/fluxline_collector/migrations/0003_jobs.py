"""What is asked across jobs, in two narrow tables that are written with the events and outlive them.

`jobs` has one row per training: where it stands by its newest events. `attempts` has one row per ended attempt of a
stage (`stage.succeeded`, `stage.retried`, `stage.failed`). Sequences order everything: a stream that is made anew goes
on above every sequence of the lost one.
"""

from alembic import op

revision = "0003"
down_revision = "0002"

JOBS = """
CREATE TABLE jobs (
    training_id uuid PRIMARY KEY,
    owner text,
    name text,
    status text NOT NULL DEFAULT 'running' CHECK (status IN ('running', 'succeeded', 'failed', 'canceled')),
    status_sequence bigint NOT NULL DEFAULT 0,
    stage text,
    stage_sequence bigint NOT NULL DEFAULT 0,
    failed_stage text,
    category text,
    retryable boolean,
    message text,
    requested_at timestamptz,
    started_at timestamptz,
    succeeded_at timestamptz,
    ended_at timestamptz,
    first_at timestamptz NOT NULL,
    last_at timestamptz NOT NULL,
    last_sequence bigint NOT NULL,
    provider text,
    provider_version text,
    external_id text,
    cost_usd numeric,
    image_count integer,
    events bigint NOT NULL DEFAULT 0,
    retries integer NOT NULL DEFAULT 0,
    errors integer NOT NULL DEFAULT 0,
    trace_id text
)
"""
ATTEMPTS = """
CREATE TABLE attempts (
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
    provider text,
    PRIMARY KEY (stored_at, sequence)
)
"""


def upgrade() -> None:
    """Make both tables and their indexes."""
    op.execute(JOBS)
    op.execute(ATTEMPTS)
