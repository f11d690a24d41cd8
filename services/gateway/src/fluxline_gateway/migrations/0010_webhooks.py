"""Webhooks that are sent: secrets they are signed with, deliveries, and each attempt at one.

A delivery goes with its training. `attempts` counts all of them, `step` those since it was last asked for.
"""

from alembic import op

revision = "0010"
down_revision = "0009"

SECRETS = """
CREATE TABLE webhook_secrets (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    owner text NOT NULL,
    secret text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz
)
"""
DELIVERIES = r"""
CREATE TABLE webhook_deliveries (
    id uuid PRIMARY KEY,
    owner text NOT NULL,
    training_id uuid REFERENCES trainings (id) ON DELETE CASCADE,
    url text NOT NULL,
    host text NOT NULL GENERATED ALWAYS AS
        (coalesce(lower(substring(url FROM '://(\[[^]]+\]|[^/:?#]+)')), '')) STORED,
    type text NOT NULL,
    payload text NOT NULL,
    status text NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    step integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at timestamptz
)
"""
ATTEMPTS = """
CREATE TABLE webhook_attempts (
    delivery_id uuid NOT NULL REFERENCES webhook_deliveries (id) ON DELETE CASCADE,
    number integer NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    duration_ms integer NOT NULL,
    status_code integer,
    error text,
    answer text,
    PRIMARY KEY (delivery_id, number)
)
"""
INDEXES = (
    "CREATE UNIQUE INDEX webhook_secret_in_use ON webhook_secrets (owner) WHERE expires_at IS NULL",
    "CREATE INDEX webhook_deliveries_due ON webhook_deliveries (host, next_attempt_at) WHERE status = 'pending'",
    "CREATE INDEX webhook_deliveries_ended ON webhook_deliveries (ended_at) WHERE status <> 'pending'",
    "CREATE INDEX webhook_deliveries_by_age ON webhook_deliveries (owner, created_at DESC, id DESC)",
    "CREATE INDEX webhook_deliveries_of_training ON webhook_deliveries (training_id)",
)


def upgrade() -> None:
    """Create the tables."""
    for statement in (SECRETS, DELIVERIES, ATTEMPTS, *INDEXES):
        op.execute(statement)
