"""Uploads that go straight to the storage: what was announced, and what became of it."""

from alembic import op

revision = "0007"
down_revision = "0006"

UPLOADS = """
CREATE TABLE image_uploads (
    id uuid PRIMARY KEY,
    owner text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    claim uuid,
    claimed_until timestamptz
)
"""
FILES = """
CREATE TABLE image_upload_files (
    upload_id uuid NOT NULL REFERENCES image_uploads (id) ON DELETE CASCADE,
    number integer NOT NULL,
    filename text NOT NULL,
    size_bytes bigint NOT NULL,
    sha256 text,
    storage_key text NOT NULL,
    image_id uuid,
    code text,
    reason text,
    PRIMARY KEY (upload_id, number)
)
"""
EXPIRY = "CREATE INDEX image_uploads_by_expiry ON image_uploads (expires_at)"
OWNERS = "CREATE INDEX image_uploads_by_owner ON image_uploads (owner, expires_at)"


def upgrade() -> None:
    """Create the tables."""
    for statement in (UPLOADS, FILES, EXPIRY, OWNERS):
        op.execute(statement)
