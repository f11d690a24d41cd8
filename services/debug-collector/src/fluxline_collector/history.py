"""What is read of a training to tell its story: narrow rows, progress folded, never a body; memory is bounded."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg

from fluxline.contracts.debugging import StoredEvent
from fluxline.contracts.narration import line_of
from fluxline.postgres.pool import Database

MAX_STORY_EVENTS = 5_000
"""Of a training with more (progress apart), the oldest are left out."""
MAX_FACTS_BYTES = 32_768
CURVE_POINTS = 300
_BULK = "{images,verdicts,log_tail,parameters,publish,zip_created,training_succeeded,generation_ids,samples}"
"""Facts that are long and tell nothing of how it went."""
_COLUMNS = """sequence, event_id, subject, occurred_at, stored_at, received_at, stage, service, category, retryable,
    attempt, duration_ms, trace_id, problem"""

# Generations with the trained model name the training too, and are not its story. `before` is how many rows there are
# up to a kept one: what lies between two kept rows is progress that was folded.
STORY = f"""
WITH every AS (
    SELECT {_COLUMNS}, facts, lead(subject) OVER story AS following, row_number() OVER story AS before
    FROM events WHERE training_id = $1 AND generation_id IS NULL
    WINDOW story AS (ORDER BY sequence, stored_at)
), kept AS (
    SELECT *, (SELECT count(DISTINCT coalesce(event_id::text, sequence::text)) FROM every) AS total FROM every
    WHERE subject NOT LIKE '%.progressed' OR following IS DISTINCT FROM subject
    ORDER BY sequence DESC, stored_at DESC LIMIT $2
)
SELECT {_COLUMNS}, before, total,
    CASE WHEN facts IS NULL OR pg_column_size(narrow) <= $3 THEN narrow ELSE '{{}}'::jsonb END AS facts
FROM kept CROSS JOIN LATERAL (
    SELECT CASE WHEN jsonb_typeof(facts) = 'object' THEN facts - '{_BULK}'::text[] END AS narrow
) AS told
ORDER BY sequence, stored_at
"""  # noqa: S608 – names of our own columns

_CURVE = """
WITH told AS (
    SELECT occurred_at, facts, row_number() OVER (ORDER BY sequence) AS place, count(*) OVER () AS points
    FROM events
    WHERE training_id = $1 AND generation_id IS NULL AND subject = 'training.progressed' AND readable
)
SELECT occurred_at AS at, facts ->> 'step' AS step, facts ->> 'loss' AS loss, facts ->> 'percent' AS percent
FROM told WHERE place = points OR place % greatest(1, points / $2) = 0 ORDER BY place
"""


@dataclass(frozen=True)
class Story:
    """A training's events as `summarise` and `timeline_of` want them."""

    events: Sequence[StoredEvent]
    folded: Mapping[int, int]
    total: int


class History:
    """Reads the table `events` for one training at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def story(self, training_id: UUID) -> Story | None:
        """The training's own events in stream order; None when there is none."""
        rows = await self._database.pool.fetch(STORY, training_id, MAX_STORY_EVENTS, MAX_FACTS_BYTES)
        if not rows:
            return None
        folded: dict[int, int] = {}
        before = rows[0]["before"] - 1 if len(rows) == MAX_STORY_EVENTS else 0
        for row in rows:
            if row["before"] - before > 1:
                folded[row["sequence"]] = row["before"] - before - 1
            before = row["before"]
        return Story([stored_event(row) for row in rows], folded, rows[0]["total"])

    async def curve(self, training_id: UUID) -> list[dict[str, Any]]:
        """Time, step, loss and percent of the provider's run, as text or null; about `CURVE_POINTS` of them."""
        return [dict(row) for row in await self._database.pool.fetch(_CURVE, training_id, CURVE_POINTS)]


def stored_event(row: asyncpg.Record) -> StoredEvent:
    """A row as the API shows it."""
    facts: dict[str, Any] | None = json.loads(row["facts"]) if row["facts"] is not None else None
    level, message = line_of(row["subject"], facts, row["problem"])
    same = ("event_id", "occurred_at", "stored_at", "received_at", "stage", "service", "category", "retryable")
    more = ("attempt", "duration_ms", "trace_id", "problem")
    return StoredEvent(
        id=row["sequence"],
        type=row["subject"],
        level=level,
        message=message,
        data=facts,
        **{name: row[name] for name in same + more},
    )
