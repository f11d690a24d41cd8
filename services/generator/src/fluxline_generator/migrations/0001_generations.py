"""One row per generation: what was asked of the provider, and what came of it."""

from alembic import op

revision = "0001"
down_revision = None

GENERATIONS_SQL = """
CREATE TABLE generations (
    generation_id uuid PRIMARY KEY,
    state text NOT NULL CHECK (state IN ('requested', 'submitting', 'submitted', 'succeeded')),
    target text NOT NULL,
    input jsonb NOT NULL,
    submissions integer NOT NULL DEFAULT 0,
    lost integer NOT NULL DEFAULT 0,
    submit_at timestamptz,
    prediction_id text UNIQUE,
    outcome jsonb,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
)
"""


def upgrade() -> None:
    """Create the table."""
    op.execute(GENERATIONS_SQL)
