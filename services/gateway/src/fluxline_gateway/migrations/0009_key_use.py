"""Names and use of API keys; secrets that all replicas share."""

from alembic import op

revision = "0009"
down_revision = "0008"

KEYS = """
ALTER TABLE api_keys
    ADD COLUMN name text NOT NULL DEFAULT '',
    ADD COLUMN hint text NOT NULL DEFAULT '',
    ADD COLUMN last_used_at timestamptz
"""
AUDIT = """
CREATE TABLE key_audit (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL,
    owner text,
    key_id uuid,
    method text NOT NULL,
    path text NOT NULL,
    status integer NOT NULL,
    client text,
    trace_id text
)
"""
SECRETS = """
CREATE TABLE secrets (
    name text PRIMARY KEY,
    value bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
)
"""
INDEXES = (
    "CREATE INDEX keys_of_owner ON api_keys (owner, created_at DESC, id DESC)",
    "CREATE INDEX audit_of_owner ON key_audit (owner, at DESC, id DESC)",
    "CREATE INDEX audit_by_age ON key_audit (at DESC, id DESC)",
)


def upgrade() -> None:
    """Add columns, tables and indexes."""
    for statement in (KEYS, AUDIT, SECRETS, *INDEXES):
        op.execute(statement)
