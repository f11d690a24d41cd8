"""Alerts that are open, have been, and what was said of them."""

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Filled in by the work on alerts."""
