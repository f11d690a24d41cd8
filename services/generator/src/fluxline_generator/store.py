"""The generator's state: intent before the paid call, then the provider's run, then the outcome.

Every write names the state it expects, so that a second process at the same generation changes nothing.
"""

import json
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

import asyncpg

from fluxline.postgres.pool import Database
from fluxline_generator.orders import Order
from fluxline_generator.predictions import Prediction
from fluxline_generator.prompts import Wanted

_OPEN = """
INSERT INTO generations AS known (generation_id, state, wanted, provider, target, input)
VALUES ($1, 'requested', $2, $3, $4, $5) ON CONFLICT (generation_id) DO UPDATE SET failed = false, updated_at = now(),
    wanted = coalesce(known.wanted, excluded.wanted), provider = coalesce(known.provider, excluded.provider),
    target = coalesce(known.target, excluded.target), input = coalesce(known.input, excluded.input)
WHERE known.failed
"""
_READ = """
SELECT *, coalesce(extract(epoch FROM now() - submit_at), 0)::float8 AS age_s, extract(epoch FROM submit_at)::float8
    AS submitted_s FROM generations WHERE generation_id = $1
"""
_INTEND = """
UPDATE generations SET state = 'submitting', submissions = submissions + 1, submit_at = now(), updated_at = now()
WHERE generation_id = $1 AND state = 'requested' AND NOT cancel_requested
"""
_ADOPT = """
UPDATE generations SET state = 'submitted', prediction_id = $3, run = $4, updated_at = now()
WHERE generation_id = $1 AND state = 'submitting' AND submissions = $2
"""
_RESET = """
UPDATE generations SET state = 'requested', prediction_id = NULL, run = NULL, lost = lost + $3, tries = tries + $4,
    updated_at = now()
WHERE generation_id = $1 AND state IN ('submitting', 'submitted') AND submissions = $2
"""
_MOVE = """
UPDATE generations SET provider = $3, target = $4, input = $5, refusals = $6, tries = 0, lost = 0, updated_at = now()
WHERE generation_id = $1 AND state = 'requested' AND submissions = $2
"""
_FINISH = """
UPDATE generations SET state = 'succeeded', outcome = $3, run = NULL, updated_at = now()
WHERE generation_id = $1 AND state = 'submitted' AND prediction_id = $2 AND NOT cancel_requested
"""
_TAKEN = "SELECT prediction_id FROM generations WHERE prediction_id = ANY($1::text[])"
_WANT_CANCEL = """
INSERT INTO generations AS known (generation_id, state, cancel_requested) VALUES ($1, 'withdrawn', true)
ON CONFLICT (generation_id) DO UPDATE SET cancel_requested = true, updated_at = now(),
    state = CASE known.state WHEN 'requested' THEN 'withdrawn' ELSE known.state END
WHERE known.state <> 'succeeded' AND NOT known.failed
"""
_CANCELED = """
UPDATE generations SET state = 'canceled', run = NULL, outcome = $2, updated_at = now()
WHERE generation_id = $1 AND cancel_requested AND state IN ('requested', 'submitting', 'submitted')
"""
_FAIL = """
INSERT INTO generations AS known (generation_id, state, failed) VALUES ($1, 'requested', true)
ON CONFLICT (generation_id) DO UPDATE SET failed = NOT known.cancel_requested, updated_at = now(),
    state = CASE WHEN known.cancel_requested THEN 'canceled' ELSE known.state END
WHERE known.state IN ('requested', 'submitting', 'submitted')
"""


@dataclass(frozen=True)
class Generation:
    """One row. `lost` counts submissions that led to nothing, `age_s` from the last one; `submitted_s` is Unix time.

    `tries` counts submissions that the provider of now did not take, `refusals` those who were asked before.
    `canceled` was stopped by whoever works on it, `withdrawn` before anybody did: it may not even be wanted yet.
    `run` is the ended run of a provider that gives it with its answer, kept until its images are ours.
    """

    generation_id: UUID
    state: str
    provider: str
    order: Order
    wanted: Wanted | None
    refusals: tuple[dict[str, str], ...]
    tries: int
    cancel_requested: bool
    failed: bool
    submissions: int
    lost: int
    prediction_id: str | None
    run: Prediction | None
    outcome: dict[str, Any] | None
    age_s: float
    submitted_s: float


class GenerationStore:
    """The rows of schema `generator`."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def open(self, generation_id: UUID, wanted: Wanted, provider: str, order: Order) -> Generation:
        """The generation's row, made if it is new, and begun again if it has failed; what was stored first counts."""
        wish, sent = json.dumps(asdict(wanted)), json.dumps(order.input)
        await self.database.pool.execute(_OPEN, generation_id, wish, provider, order.target, sent)
        return await self.read(generation_id)

    async def read(self, generation_id: UUID) -> Generation:
        """The generation as it is now."""
        row = await self.database.pool.fetchrow(_READ, generation_id)
        if row is None:
            raise LookupError(f"no generation {generation_id}")
        return _generation(row)

    async def intend(self, generation_id: UUID) -> bool:
        """Commit that the provider is about to be asked; False when somebody else is at it, or it is canceled."""
        return await self._changed(_INTEND, generation_id)

    async def adopt(self, generation: Generation, run: Prediction) -> bool:
        """Store whose run it is; False when the generation has moved on or the run is another's."""
        kept = run.model_dump_json() if run.ended else None
        try:
            return await self._changed(_ADOPT, generation.generation_id, generation.submissions, run.id, kept)
        except asyncpg.UniqueViolationError:
            return False

    async def reset(self, generation: Generation, *, lost: bool, tried: bool = False) -> None:
        """Back to before the submission: it certainly did not happen (`tried`: it counts), or its run is `lost`."""
        await self._changed(_RESET, generation.generation_id, generation.submissions, int(lost), int(tried))

    async def move(
        self, generation: Generation, provider: str, order: Order, refusals: tuple[dict[str, str], ...]
    ) -> None:
        """Have it made by another provider."""
        sent = (provider, order.target, json.dumps(order.input), json.dumps(refusals))
        await self._changed(_MOVE, generation.generation_id, generation.submissions, *sent)

    async def finish(self, generation: Generation, outcome: dict[str, Any]) -> bool:
        """Store the outcome; False when it is canceled, or has an outcome."""
        return await self._changed(_FINISH, generation.generation_id, generation.prediction_id, json.dumps(outcome))

    async def want_cancel(self, generation_id: UUID) -> Generation:
        """Mark it; what was not submitted is withdrawn at once, what has succeeded or failed stays so."""
        await self._changed(_WANT_CANCEL, generation_id)
        return await self.read(generation_id)

    async def canceled(self, generation: Generation, outcome: dict[str, Any] | None = None) -> None:
        """The run of a marked generation has been stopped, or had its images already."""
        await self._changed(_CANCELED, generation.generation_id, json.dumps(outcome) if outcome else None)

    async def fail(self, generation_id: UUID) -> Generation:
        """Nobody tries again: it has failed, or is canceled where its owner wanted that first."""
        await self._changed(_FAIL, generation_id)
        return await self.read(generation_id)

    async def taken(self, prediction_ids: list[str]) -> set[str]:
        """Those of the runs that belong to a generation."""
        rows = await self.database.pool.fetch(_TAKEN, prediction_ids)
        return {row["prediction_id"] for row in rows}

    async def _changed(self, statement: str, *arguments: object) -> bool:
        return (await self.database.pool.execute(statement, *arguments)).endswith(" 1")


def _generation(row: asyncpg.Record) -> Generation:
    same = ("tries", "cancel_requested", "failed", "submissions", "lost", "prediction_id", "age_s")
    return Generation(
        generation_id=row["generation_id"],
        state=row["state"],
        provider=row["provider"] or "",
        order=Order(row["target"] or "", json.loads(row["input"] or '{"prompt": ""}')),
        wanted=Wanted(**json.loads(row["wanted"])) if row["wanted"] else None,
        refusals=tuple(json.loads(row["refusals"])),
        run=Prediction.model_validate_json(row["run"]) if row["run"] else None,
        outcome=json.loads(row["outcome"]) if row["outcome"] else None,
        submitted_s=row["submitted_s"] or 0.0,
        **{name: row[name] for name in same},
    )
