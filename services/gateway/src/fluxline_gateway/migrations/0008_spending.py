"""What an owner may spend and has spent; what a training was estimated to cost.

A row of `spending` is one run of a training (a retry that trains again is another), or a generation, which has run 0.
`spent_at` says in which month the money counts; rows outlive what they paid for.
"""

from alembic import op

revision = "0008"
down_revision = "0007"

OWNERS = """
CREATE TABLE owners (
    owner text PRIMARY KEY,
    spend_cap_usd float8,
    max_running integer,
    requests_per_minute integer,
    updated_at timestamptz NOT NULL DEFAULT now()
)
"""
SPENDING = """
CREATE TABLE spending (
    id uuid NOT NULL,
    run integer NOT NULL DEFAULT 0,
    owner text NOT NULL,
    kind text NOT NULL,
    reserved_usd float8 NOT NULL,
    usd_per_second float8 NOT NULL DEFAULT 0,
    spent_usd float8,
    spent_at timestamptz,
    ended boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id, run)
)
"""
ESTIMATE = "ALTER TABLE trainings ADD COLUMN estimate json"
INDEXES = (
    "CREATE INDEX spending_of_owner ON spending (owner, spent_at)",
    "CREATE INDEX spending_open ON spending (owner) WHERE NOT ended",
    "CREATE INDEX trainings_running ON trainings (owner) WHERE status NOT IN ('completed', 'failed', 'canceled')",
    "CREATE INDEX trainings_completed ON trainings (updated_at DESC) WHERE status = 'completed'",
)


def upgrade() -> None:
    """Create the tables; an owner without a row has the gateway's defaults."""
    for statement in (OWNERS, SPENDING, ESTIMATE, *INDEXES):
        op.execute(statement)
