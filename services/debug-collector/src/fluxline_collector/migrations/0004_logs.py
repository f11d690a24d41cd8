"""What the services logged, for as long as it is kept."""

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Filled in by the work on logs."""
