"""Events lie in weekly partitions (ISO weeks, from Monday 00:00 UTC), so that a week whose time is over goes at once.

`ensure_week` makes the partition that a time falls into, of any table that is partitioned by such weeks. There is no
DEFAULT partition: what it held would block the week made later, and would never end. The new table is attached, which
lets others read and write meanwhile; PARTITION OF would lock them out. One at a time does it, so replicas that need
the same week do not fail each other.
"""

from alembic import op

revision = "0002"
down_revision = "0001"

ENSURE_WEEK = """
CREATE FUNCTION ensure_week(parent text, at timestamptz) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    monday timestamp := date_trunc('week', at AT TIME ZONE 'UTC');
    week text := parent || to_char(monday, '_IYYY"w"IW');
    attached boolean;
BEGIN
    SELECT true INTO attached FROM pg_inherits
    WHERE inhrelid = to_regclass(week) AND inhparent = to_regclass(parent) AND NOT inhdetachpending;
    IF attached THEN
        RETURN week;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('ensure_week', 0));
    SELECT NOT inhdetachpending INTO attached FROM pg_inherits
    WHERE inhrelid = to_regclass(week) AND inhparent = to_regclass(parent);
    IF NOT attached THEN
        RAISE EXCEPTION '% is being detached', week USING ERRCODE = 'lock_not_available';
    END IF;
    IF attached IS NULL THEN
        EXECUTE format('CREATE TABLE IF NOT EXISTS %I (LIKE %I INCLUDING ALL)', week, parent);
        EXECUTE format(
            'ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
            parent, week, monday AT TIME ZONE 'UTC', (monday + interval '7 days') AT TIME ZONE 'UTC'
        );
    END IF;
    RETURN week;
END
$$
"""
TABLE = """
CREATE TABLE events (LIKE unpartitioned INCLUDING DEFAULTS, service_version text) PARTITION BY RANGE (stored_at)
"""
INDEXES = (
    "ALTER TABLE events ADD PRIMARY KEY (stored_at, sequence)",
    "CREATE INDEX events_of_training ON events (training_id, sequence) WHERE training_id IS NOT NULL",
    "CREATE INDEX events_of_generation ON events (generation_id, sequence) WHERE generation_id IS NOT NULL",
)
MARKS = """
CREATE TABLE stream_marks (
    stream text PRIMARY KEY,
    created timestamptz NOT NULL,
    counted_to bigint NOT NULL,
    counted_at timestamptz NOT NULL,
    floor bigint NOT NULL,
    floor_at timestamptz NOT NULL,
    seen_to bigint NOT NULL,
    lost bigint NOT NULL
)
"""
"""Up to which sequence of a stream the rows were counted, and how many messages were never stored."""
WEEKS = """
SELECT ensure_week('events', at) FROM (
    SELECT min(stored_at) AS at FROM unpartitioned GROUP BY date_trunc('week', stored_at, 'UTC')
    UNION ALL SELECT now() UNION ALL SELECT now() + interval '7 days'
) AS needed
"""


def upgrade() -> None:
    """Move what is there into the weeks it belongs to."""
    op.execute("ALTER TABLE events RENAME TO unpartitioned")
    op.execute(ENSURE_WEEK)
    op.execute(TABLE)
    op.execute(MARKS)
    op.execute(WEEKS)
    op.execute("INSERT INTO events SELECT * FROM unpartitioned ORDER BY stored_at, sequence")
    op.execute("DROP TABLE unpartitioned")
    for index in INDEXES:
        op.execute(index)
