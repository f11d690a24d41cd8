"""What deleting and the watchdog keep of a training; the trainings that are under way, quickly found."""

from alembic import op

revision = "0003"
down_revision = "0002"

COLUMNS = """
ALTER TABLE trainings
    ADD COLUMN deleting boolean NOT NULL DEFAULT false,
    ADD COLUMN keep_repository boolean NOT NULL DEFAULT false,
    ADD COLUMN waiting_reason text
"""
INDEXES = (
    "CREATE INDEX trainings_under_way ON trainings (updated_at)"
    " WHERE status NOT IN ('completed', 'failed', 'canceled')",
    "CREATE INDEX generations_of_model ON generations (model_id)",
)


def upgrade() -> None:
    """Add columns and indexes."""
    for statement in (COLUMNS, *INDEXES):
        op.execute(statement)
