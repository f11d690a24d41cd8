"""Trainings with their history, models, generations, idempotency keys; the outbox.

Documents are `json`, not `jsonb`: a provider's text may hold a NUL, which jsonb refuses. `training_events` is the
inbox as well: an event has its effect when its row is new.
"""

from alembic import op

from fluxline.postgres import outbox

revision = "0002"
down_revision = "0001"

TRAININGS = """
CREATE TABLE trainings (
    id uuid PRIMARY KEY,
    owner text NOT NULL,
    name text NOT NULL,
    status text NOT NULL,
    request json NOT NULL,
    image_ids uuid[] NOT NULL,
    state json NOT NULL,
    trace_id text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
)
"""
TRAINING_EVENTS = """
CREATE TABLE training_events (
    event_id uuid PRIMARY KEY,
    training_id uuid NOT NULL,
    sequence bigint NOT NULL,
    type text NOT NULL,
    occurred_at timestamptz NOT NULL,
    stage text,
    category text,
    attempt bigint,
    duration_ms bigint,
    data json NOT NULL
)
"""
MODELS = """
CREATE TABLE models (
    id uuid PRIMARY KEY,
    training_id uuid NOT NULL UNIQUE,
    owner text NOT NULL,
    name text NOT NULL,
    trigger_word text NOT NULL,
    base_model text NOT NULL,
    weights_key text NOT NULL,
    sha256 text NOT NULL,
    size_bytes bigint NOT NULL,
    provider text NOT NULL,
    provider_version text NOT NULL,
    huggingface json,
    created_at timestamptz NOT NULL
)
"""
GENERATIONS = """
CREATE TABLE generations (
    id uuid PRIMARY KEY,
    owner text NOT NULL,
    model_id uuid REFERENCES models (id),
    status text NOT NULL,
    parameters json NOT NULL,
    outcome json NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
)
"""
IDEMPOTENCY_KEYS = """
CREATE TABLE idempotency_keys (
    owner text NOT NULL,
    key text NOT NULL,
    request_sha256 bytea NOT NULL,
    location text,
    answer json,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (owner, key)
)
"""
INDEXES = (
    "CREATE INDEX trainings_by_age ON trainings (owner, created_at DESC, id DESC)",
    "CREATE INDEX trainings_by_image ON trainings USING gin (image_ids)",
    "CREATE INDEX events_of_training ON training_events (training_id, sequence)",
    "CREATE INDEX models_by_age ON models (owner, created_at DESC, id DESC)",
    "CREATE INDEX generations_by_age ON generations (owner, created_at DESC, id DESC)",
)


def upgrade() -> None:
    """Create the tables."""
    outbox_sql = [statement for statement in outbox.TABLE_SQL.split(";") if statement.strip()]
    for statement in (TRAININGS, TRAINING_EVENTS, MODELS, GENERATIONS, IDEMPOTENCY_KEYS, *INDEXES, *outbox_sql):
        op.execute(statement)
