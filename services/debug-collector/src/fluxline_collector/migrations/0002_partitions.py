"""Events lie in weekly partitions, so that a week whose time is over goes at once."""

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Filled in by the store's work."""
