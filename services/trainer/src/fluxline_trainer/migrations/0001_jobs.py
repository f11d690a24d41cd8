"""One row per paid training, with the outbox and the inbox.

`attempt` counts the submissions that were announced before they were sent, `doubts` those that were given up
after the settle window; `failures` and `refusals` count in a row and begin anew when a step goes well.
"""

from alembic import op

from fluxline.postgres import inbox, outbox

revision = "0001"
down_revision = None

JOBS = """
CREATE TABLE jobs (
    training_id uuid PRIMARY KEY,
    state text NOT NULL CHECK (state IN ('zip_ready', 'submitting', 'training', 'succeeded', 'failed', 'canceled')),
    cause jsonb NOT NULL,
    trace jsonb NOT NULL,
    attempt integer NOT NULL DEFAULT 0,
    doubts integer NOT NULL DEFAULT 0,
    submit_at timestamptz,
    first_submit_at timestamptz,
    destination text,
    trainer_version text,
    provider_id text UNIQUE,
    next_check_at timestamptz,
    polls integer NOT NULL DEFAULT 0,
    failures integer NOT NULL DEFAULT 0,
    refusals integer NOT NULL DEFAULT 0,
    percent double precision NOT NULL DEFAULT 0,
    step integer,
    phase text NOT NULL DEFAULT '',
    stage_attempt integer NOT NULL DEFAULT 0,
    stage_started_at timestamptz,
    error text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CHECK (state NOT IN ('submitting', 'training') OR (submit_at IS NOT NULL AND destination IS NOT NULL)),
    CHECK (state <> 'training' OR provider_id IS NOT NULL)
)
"""


def upgrade() -> None:
    """Make the three tables."""
    op.execute(JOBS)
    op.execute("CREATE INDEX jobs_due ON jobs (next_check_at) WHERE next_check_at IS NOT NULL")
    for statement in (*outbox.TABLE_SQL.split(";"), *inbox.TABLE_SQL.split(";")):
        if statement.strip():
            op.execute(statement)
