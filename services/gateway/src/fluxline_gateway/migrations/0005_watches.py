"""What the watchdog keeps of trainings under way."""

from alembic import op

revision = "0005"
down_revision = "0004"

WATCHES = """
CREATE TABLE stage_watches (
    training_id uuid NOT NULL,
    run integer NOT NULL,
    stage text NOT NULL,
    newest bigint NOT NULL,
    news_at timestamptz NOT NULL DEFAULT now(),
    silent_s float8 NOT NULL DEFAULT 0,
    worked_s float8 NOT NULL DEFAULT 0,
    at_work boolean NOT NULL,
    reemitted integer NOT NULL DEFAULT 0,
    timed_out boolean NOT NULL DEFAULT false,
    watched_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (training_id, run, stage)
)
"""


def upgrade() -> None:
    """Create the table."""
    op.execute(WATCHES)
