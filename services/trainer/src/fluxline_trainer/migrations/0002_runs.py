"""Runs, cancelations and what becomes of a job after its end.

`run` is the newest run of the job; `cancel` the request that stops it; `ended_runs` are the provider's runs that
ended without weights and are never looked for again. `cancelations` holds the newest request per training, also
before there is a job and after it was deleted; its `outcome` is null until the run's register has decided.
"""

from alembic import op

revision = "0002"
down_revision = "0001"

JOBS = """
ALTER TABLE jobs
    ADD COLUMN run integer NOT NULL DEFAULT 0,
    ADD COLUMN cancel jsonb,
    ADD COLUMN ended_runs text[] NOT NULL DEFAULT '{}',
    ADD COLUMN published boolean NOT NULL DEFAULT false
"""
CANCELATIONS = """
CREATE TABLE cancelations (
    training_id uuid PRIMARY KEY,
    run integer NOT NULL,
    event jsonb NOT NULL,
    trace jsonb NOT NULL,
    outcome text CHECK (outcome IN ('canceled', 'too_late')),
    noted_at timestamptz NOT NULL DEFAULT now()
)
"""


def upgrade() -> None:
    """Make the columns and the table."""
    op.execute(JOBS)
    op.execute(CANCELATIONS)
    op.execute("CREATE INDEX cancelations_undecided ON cancelations (noted_at) WHERE outcome IS NULL")
