"""The views that anybody with a SQL prompt may ask."""

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Filled in by the work on insights."""
