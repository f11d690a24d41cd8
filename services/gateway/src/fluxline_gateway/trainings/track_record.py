"""How the newest trainings of this installation went: what estimates learn from."""

import json
import time
from collections.abc import Callable
from typing import Final

import asyncpg

from fluxline.contracts.job import TrainingParameters
from fluxline_gateway.identity.keys import Executor
from fluxline_gateway.trainings.estimates import Lessons, Past, Plan, lessons_of
from fluxline_gateway.trainings.state import PIPELINE, TrainingState

MAX_PAST: Final = 50
KEEP_S: Final = 60.0
_COMPLETED = """
SELECT request, image_ids, state FROM trainings
WHERE status = 'completed' AND NOT deleting ORDER BY updated_at DESC LIMIT $1
"""


class TrackRecord:
    """The newest completed trainings of all owners, read at most once in `keep_s`: an estimate needs no fresher ones.

    Nothing of a single one is told to anybody: only medians, quantiles and their number.
    """

    def __init__(self, keep_s: float = KEEP_S, clock: Callable[[], float] = time.monotonic) -> None:
        self.keep_s = keep_s
        self._clock = clock
        self._known: tuple[float, Lessons] | None = None

    async def lessons(self, connection: Executor, usd_per_second: float) -> Lessons:
        """What those have shown that went through without a retry, at most `MAX_PAST`, at this price."""
        if self._known is None or self._clock() - self._known[0] >= self.keep_s:
            rows = await connection.fetch(_COMPLETED, MAX_PAST)
            past = [past for row in rows if (past := _past(row))]
            self._known = self._clock(), lessons_of(past, usd_per_second)
        return self._known[1]


def _plan(request: str, image_count: int) -> Plan:
    facts = json.loads(request)
    parameters = TrainingParameters(**facts)
    chosen = {name: getattr(parameters, name) for name in ("steps", "resolution", "lora_rank")}
    return Plan(**chosen, image_count=image_count, publish=facts["publish"]["enabled"])


def _past(row: asyncpg.Record) -> Past | None:
    """None for one that was tried again anywhere: what it took is not what a training takes."""
    state = TrainingState.model_validate_json(row["state"])
    if state.run or any(facts.attempts > 1 for facts in state.stages.values()):
        return None
    seconds = {
        stage: (ended_at - state.stages[stage].started_at).total_seconds()
        for stage in PIPELINE
        if (ended_at := state.ended_at(stage))
    }
    cost = state.trained.cost.amount_usd if state.trained and state.trained.cost else None
    return Past(_plan(row["request"], len(row["image_ids"])), seconds, cost)
