"""API keys and images."""

from alembic import op

revision = "0001"
down_revision = None

API_KEYS = """
CREATE TABLE api_keys (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    owner text NOT NULL,
    key_sha256 bytea NOT NULL UNIQUE,
    scopes text[] NOT NULL DEFAULT '{read,write}',
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    revoked_at timestamptz
)
"""
IMAGES = """
CREATE TABLE images (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    owner text NOT NULL,
    sha256 text NOT NULL,
    storage_key text NOT NULL,
    filename text NOT NULL,
    format text NOT NULL,
    width integer NOT NULL,
    height integer NOT NULL,
    size_bytes bigint NOT NULL,
    warnings text[] NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (owner, sha256)
)
"""
IMAGES_BY_AGE = "CREATE INDEX images_by_age ON images (owner, created_at DESC, id DESC)"


def upgrade() -> None:
    """Create the tables."""
    for statement in (API_KEYS, IMAGES, IMAGES_BY_AGE):
        op.execute(statement)
