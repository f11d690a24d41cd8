"""What a look at an image told: how sharp it is, what it looks like; and the caption that its owner gave it."""

from alembic import op

revision = "0006"
down_revision = "0005"

COLUMNS = """
ALTER TABLE images
    ADD COLUMN caption text,
    ADD COLUMN warning_codes text[] NOT NULL DEFAULT '{}',
    ADD COLUMN sharpness float8,
    ADD COLUMN perceptual_hash bit(128)
"""
CODES = "UPDATE images SET warning_codes = '{extreme_aspect_ratio}' WHERE warnings <> '{}'"
"""The only warning that there was."""


def upgrade() -> None:
    """Add the columns; images from before have not been looked at so closely, and look like no other."""
    op.execute(COLUMNS)
    op.execute(CODES)
