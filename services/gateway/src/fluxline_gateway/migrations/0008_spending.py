"""What an owner may spend and has spent; what a training was estimated to cost."""

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
    id uuid PRIMARY KEY,
    owner text NOT NULL,
    kind text NOT NULL,
    reserved_usd float8 NOT NULL,
    spent_usd float8,
    ended boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now()
)
"""
ESTIMATE = "ALTER TABLE trainings ADD COLUMN estimate json"
INDEX = "CREATE INDEX spending_of_owner ON spending (owner, created_at)"


def upgrade() -> None:
    """Create the tables; an owner without a row has the gateway's defaults."""
    for statement in (OWNERS, SPENDING, ESTIMATE, INDEX):
        op.execute(statement)
