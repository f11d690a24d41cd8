"""What the services logged, for as long as it is kept: one row per line of a message, in weekly partitions."""

from alembic import op

revision = "0004"
down_revision = "0003"

TABLE = """
CREATE TABLE logs (
    stored_at timestamptz NOT NULL,
    sequence bigint NOT NULL,
    line integer NOT NULL,
    at timestamptz NOT NULL,
    level text NOT NULL CHECK (level IN ('debug', 'info', 'warning', 'error', 'critical')),
    logger text NOT NULL,
    event text NOT NULL,
    service text NOT NULL,
    instance text NOT NULL,
    training_id uuid,
    generation_id uuid,
    trace_id text,
    readable boolean NOT NULL,
    fields jsonb NOT NULL,
    PRIMARY KEY (stored_at, sequence, line)
) PARTITION BY RANGE (stored_at)
"""
INDEXES = (
    "CREATE INDEX logs_of_training ON logs (training_id, stored_at, sequence, line) WHERE training_id IS NOT NULL",
    "CREATE INDEX logs_of_trace ON logs (trace_id, stored_at, sequence, line) WHERE training_id IS NULL",
)


def upgrade() -> None:
    """Make the table, the two ways to read it beside time, and the first weeks."""
    op.execute(TABLE)
    for index in INDEXES:
        op.execute(index)
    op.execute("SELECT ensure_week('logs', at) FROM (VALUES (now()), (now() + interval '7 days')) AS needed (at)")
