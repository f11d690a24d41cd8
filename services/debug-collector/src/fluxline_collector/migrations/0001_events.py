"""Every message of the stream, as it came.

The key is when the broker stored the message and its sequence: both are the broker's, so a redelivery hits the
same row, a sequence used again after a lost stream does not, and the table can be partitioned by time.
"""

from alembic import op

revision = "0001"
down_revision = None

TABLE = """
CREATE TABLE events (
    sequence bigint NOT NULL,
    stored_at timestamptz NOT NULL,
    received_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    occurred_at timestamptz,
    subject text NOT NULL,
    event_id uuid,
    training_id uuid,
    generation_id uuid,
    stage text,
    service text,
    category text,
    retryable boolean,
    attempt integer,
    duration_ms bigint,
    trace_id text,
    readable boolean NOT NULL,
    problem text,
    redacted boolean NOT NULL,
    facts jsonb,
    headers jsonb NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (stored_at, sequence)
)
"""


def upgrade() -> None:
    """Make the table and the two ways to read it: by training, by generation."""
    op.execute(TABLE)
    op.execute("CREATE INDEX events_of_training ON events (training_id, sequence) WHERE training_id IS NOT NULL")
    op.execute("CREATE INDEX events_of_generation ON events (generation_id, sequence) WHERE generation_id IS NOT NULL")
