"""One row per generation: what is wanted, what was asked of which provider, and what came of it."""

from alembic import op

revision = "0001"
down_revision = None

GENERATIONS_SQL = """
CREATE TABLE generations (
    generation_id uuid PRIMARY KEY,
    state text NOT NULL CHECK (state IN
        ('requested', 'submitting', 'submitted', 'succeeded', 'canceled', 'withdrawn')),
    wanted jsonb,
    provider text,
    target text,
    input jsonb,
    refusals jsonb NOT NULL DEFAULT '[]',
    tries integer NOT NULL DEFAULT 0,
    cancel_requested boolean NOT NULL DEFAULT false,
    failed boolean NOT NULL DEFAULT false,
    submissions integer NOT NULL DEFAULT 0,
    lost integer NOT NULL DEFAULT 0,
    submit_at timestamptz,
    prediction_id text UNIQUE,
    run jsonb,
    outcome jsonb,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CHECK (state = 'withdrawn' OR failed OR (wanted IS NOT NULL AND provider IS NOT NULL AND target IS NOT NULL))
)
"""


def upgrade() -> None:
    """Create the table."""
    op.execute(GENERATIONS_SQL)
