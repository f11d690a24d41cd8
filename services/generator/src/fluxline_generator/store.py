"""The generator's state: intent before the paid call, then the prediction, then the outcome.

Every write names the state it expects, so that a second process at the same generation changes nothing.
"""

import json
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg

from fluxline.postgres.pool import Database
from fluxline_generator.prompts import Order

_ADD = """
INSERT INTO generations (generation_id, state, target, input) VALUES ($1, 'requested', $2, $3)
ON CONFLICT (generation_id) DO NOTHING
"""
_READ = """
SELECT *, coalesce(extract(epoch FROM now() - submit_at), 0)::float8 AS age_s, extract(epoch FROM submit_at)::float8
    AS submitted_s FROM generations WHERE generation_id = $1
"""
_INTEND = """
UPDATE generations SET state = 'submitting', submissions = submissions + 1, submit_at = now(), updated_at = now()
WHERE generation_id = $1 AND state = 'requested'
"""
_ADOPT = """
UPDATE generations SET state = 'submitted', prediction_id = $3, updated_at = now()
WHERE generation_id = $1 AND state = 'submitting' AND submissions = $2
"""
_RESET = """
UPDATE generations SET state = 'requested', prediction_id = NULL, lost = lost + $3, updated_at = now()
WHERE generation_id = $1 AND state IN ('submitting', 'submitted') AND submissions = $2
"""
_FINISH = """
UPDATE generations SET state = 'succeeded', outcome = $3, updated_at = now()
WHERE generation_id = $1 AND state = 'submitted' AND prediction_id = $2
"""
_TAKEN = "SELECT prediction_id FROM generations WHERE prediction_id = ANY($1::text[])"


@dataclass(frozen=True)
class Generation:
    """One row. `lost` counts submissions that led to nothing, `age_s` from the last one; `submitted_s` is Unix time."""

    generation_id: UUID
    state: str
    order: Order
    submissions: int
    lost: int
    prediction_id: str | None
    outcome: dict[str, Any] | None
    age_s: float
    submitted_s: float


class GenerationStore:
    """The rows of schema `generator`."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def open(self, generation_id: UUID, order: Order) -> Generation:
        """The generation's row, made if it is new; what was stored first counts."""
        await self.database.pool.execute(_ADD, generation_id, order.target, json.dumps(order.input))
        return await self.read(generation_id)

    async def read(self, generation_id: UUID) -> Generation:
        """The generation as it is now."""
        row = await self.database.pool.fetchrow(_READ, generation_id)
        if row is None:
            raise LookupError(f"no generation {generation_id}")
        return Generation(
            generation_id,
            row["state"],
            Order(row["target"], json.loads(row["input"])),
            row["submissions"],
            row["lost"],
            row["prediction_id"],
            json.loads(row["outcome"]) if row["outcome"] else None,
            row["age_s"],
            row["submitted_s"] or 0.0,
        )

    async def intend(self, generation_id: UUID) -> bool:
        """Commit that the provider is about to be asked; False when somebody else is at it."""
        return await self._changed(_INTEND, generation_id)

    async def adopt(self, generation: Generation, prediction_id: str) -> bool:
        """Store whose prediction it is; False when the generation has moved on or the prediction is another's."""
        try:
            return await self._changed(_ADOPT, generation.generation_id, generation.submissions, prediction_id)
        except asyncpg.UniqueViolationError:
            return False

    async def reset(self, generation: Generation, *, lost: bool) -> None:
        """Back to before the submission: it certainly did not happen, or its run is `lost`."""
        await self._changed(_RESET, generation.generation_id, generation.submissions, int(lost))

    async def finish(self, generation: Generation, outcome: dict[str, Any]) -> None:
        """Store the outcome."""
        await self._changed(_FINISH, generation.generation_id, generation.prediction_id, json.dumps(outcome))

    async def taken(self, prediction_ids: list[str]) -> set[str]:
        """Those of the predictions that belong to a generation."""
        rows = await self.database.pool.fetch(_TAKEN, prediction_ids)
        return {row["prediction_id"] for row in rows}

    async def _changed(self, statement: str, *arguments: object) -> bool:
        return (await self.database.pool.execute(statement, *arguments)).endswith(" 1")
