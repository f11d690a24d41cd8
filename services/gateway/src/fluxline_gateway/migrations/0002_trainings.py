"""Trainings with their history, models, generations, idempotency keys; outbox and inbox."""

from alembic import op

from fluxline.postgres import inbox, outbox

revision = "0002"
down_revision = "0001"

TRAININGS = """
CREATE TABLE trainings (
    id uuid PRIMARY KEY,
    owner text NOT NULL,
    name text NOT NULL,
    status text NOT NULL,
    request jsonb NOT NULL,
    image_ids uuid[] NOT NULL,
    state jsonb NOT NULL,
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
    attempt integer,
    duration_ms bigint,
    data jsonb NOT NULL
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
    huggingface jsonb,
    created_at timestamptz NOT NULL
)
"""
GENERATIONS = """
CREATE TABLE generations (
    id uuid PRIMARY KEY,
    owner text NOT NULL,
    model_id uuid REFERENCES models (id),
    status text NOT NULL,
    parameters jsonb NOT NULL,
    outcome jsonb NOT NULL DEFAULT '{}',
    sequence bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
)
"""
IDEMPOTENCY_KEYS = """
CREATE TABLE idempotency_keys (
    owner text NOT NULL,
    key text NOT NULL,
    request_sha256 bytea NOT NULL,
    resource_id uuid NOT NULL,
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
    boxes = [s for table in (outbox.TABLE_SQL, inbox.TABLE_SQL) for s in table.split(";") if s.strip()]
    for statement in (TRAININGS, TRAINING_EVENTS, MODELS, GENERATIONS, IDEMPOTENCY_KEYS, *INDEXES, *boxes):
        op.execute(statement)
