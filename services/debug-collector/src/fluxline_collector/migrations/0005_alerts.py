"""Alerts: what rules have found, what was said of it to whom, and what was looked at already.

`alert_incidents` has one row per rule and group that is not resolved, and those that were. `alert_notices` is an
outbox: a notice is written with the incident that it tells of, one for each channel, and sent afterwards; it is
pending until it was sent (`sent_at`) or given up (`failed_at`). `alert_held` are notices that wait for the end of quiet
hours, to be one digest. `alert_failures` remembers which failures were counted: their order of arrival does not matter
then, nor which replica looks. `alert_marks` is one row: since when failures count (those before fluxline watched are
nobody's news), when the rules were last evaluated, and what was seen then.
"""

from alembic import op

revision = "0005"
down_revision = "0004"

INCIDENTS = """
CREATE TABLE alert_incidents (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    rule text NOT NULL,
    kind text NOT NULL,
    severity text NOT NULL CHECK (severity IN ('info', 'warning', 'critical')),
    fields jsonb NOT NULL,
    labels jsonb NOT NULL,
    remedy text NOT NULL,
    title text NOT NULL,
    state text NOT NULL CHECK (state IN ('pending', 'open', 'resolved')),
    since timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL,
    opened_at timestamptz,
    notified_at timestamptz,
    resolved_at timestamptz,
    count bigint NOT NULL,
    told bigint NOT NULL,
    jobs uuid[] NOT NULL,
    messages jsonb NOT NULL,
    figures jsonb NOT NULL
)
"""
NOTICES = """
CREATE TABLE alert_notices (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    incident_id bigint REFERENCES alert_incidents ON DELETE CASCADE,
    kind text NOT NULL CHECK (kind IN ('opened', 'repeated', 'recovered', 'digest')),
    severity text NOT NULL,
    channel text NOT NULL,
    title text NOT NULL,
    body text NOT NULL,
    written_at timestamptz NOT NULL DEFAULT now(),
    due_at timestamptz NOT NULL DEFAULT now(),
    attempts integer NOT NULL DEFAULT 0,
    sent_at timestamptz,
    failed_at timestamptz,
    reason text
)
"""
HELD = """
CREATE TABLE alert_held (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    severity text NOT NULL,
    title text NOT NULL
)
"""
FAILURES = """
CREATE TABLE alert_failures (
    job_id uuid NOT NULL,
    sequence bigint NOT NULL,
    seen_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (job_id, sequence)
)
"""
MARKS = """
CREATE TABLE alert_marks (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    began_at timestamptz NOT NULL DEFAULT now(),
    evaluated_at timestamptz,
    lost bigint,
    letters jsonb
)
"""
INDEXES = (
    "CREATE UNIQUE INDEX alert_incidents_standing ON alert_incidents (rule, fields) WHERE state <> 'resolved'",
    "CREATE INDEX alert_incidents_by_end ON alert_incidents (resolved_at) WHERE resolved_at IS NOT NULL",
    "CREATE INDEX alert_notices_pending ON alert_notices (channel, id) WHERE sent_at IS NULL AND failed_at IS NULL",
    "CREATE INDEX alert_notices_of_incident ON alert_notices (incident_id)",
    "CREATE INDEX alert_failures_by_sight ON alert_failures (seen_at)",
    "CREATE INDEX jobs_failed ON jobs (ended_at) WHERE status = 'failed'",
    "CREATE INDEX attempts_failed_of_generations ON attempts (stored_at)"
    " WHERE outcome = 'failed' AND generation_id IS NOT NULL",
)


def upgrade() -> None:
    """Make the tables; failures count from now on."""
    for statement in (INCIDENTS, NOTICES, HELD, FAILURES, MARKS, *INDEXES):
        op.execute(statement)
    op.execute("INSERT INTO alert_marks DEFAULT VALUES")
