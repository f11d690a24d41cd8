"""Sample images of models: batches of generations, and what the model card shows. Generations that are to stop."""

from alembic import op

revision = "0011"
down_revision = "0010"

BATCHES = """
CREATE TABLE sample_batches (
    id uuid PRIMARY KEY,
    model_id uuid NOT NULL REFERENCES models (id),
    revision integer NOT NULL,
    ended boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (model_id, revision)
)
"""
COLUMNS = (
    "ALTER TABLE generations ADD COLUMN batch_id uuid REFERENCES sample_batches (id)",
    "ALTER TABLE generations ADD COLUMN sample_number integer",
    "ALTER TABLE generations ADD COLUMN canceling boolean NOT NULL DEFAULT false",
    "ALTER TABLE models ADD COLUMN samples json NOT NULL DEFAULT '[]'",
    "ALTER TABLE models ADD COLUMN samples_revision integer NOT NULL DEFAULT 0",
    "ALTER TABLE models ADD COLUMN samples_error json",
)
INDEX = "CREATE INDEX generations_of_batch ON generations (batch_id) WHERE batch_id IS NOT NULL"


def upgrade() -> None:
    """Create the table and its columns."""
    for statement in (BATCHES, *COLUMNS, INDEX):
        op.execute(statement)
