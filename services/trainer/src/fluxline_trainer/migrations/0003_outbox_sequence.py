"""The outbox remembers where in the stream an event lies, so that what the stream loses is noticed."""

from alembic import op

from fluxline.postgres import outbox

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the columns."""
    op.execute(outbox.ADD_SEQUENCE_SQL)
