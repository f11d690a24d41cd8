"""The wait for a run: to its end, to its owner's cancel, or until it has taken too long."""

import asyncio
from dataclasses import dataclass
from time import monotonic
from typing import Final

from fluxline_generator.errors import RunLost, RunOverdue, SubmissionDoubtful
from fluxline_generator.predictions import Prediction
from fluxline_generator.provider import Provider
from fluxline_generator.store import Generation, GenerationStore

MISSING_BEFORE_LOST: Final = 3


@dataclass(frozen=True)
class Pace:
    """Seconds: between two looks at a run, until a run is canceled, until the provider's list has settled."""

    poll_s: float = 1.0
    run_s: float = 600.0
    settle_s: float = 120.0


class Wait:
    """Waits for runs."""

    def __init__(self, store: GenerationStore, pace: Pace) -> None:
        self.store = store
        self.pace = pace

    async def ended(self, provider: Provider, generation: Generation) -> Prediction | None:
        """The run once it has ended; None when its owner canceled it, RunLost when the provider forgot it.

        A run that is not known yet is as young as one that is not listed yet: it is given the same time.
        """
        prediction_id = generation.prediction_id or ""
        submitted = monotonic() - generation.age_s
        missing = 0
        while True:
            if (await self.store.read(generation.generation_id)).cancel_requested:
                await provider.cancel(prediction_id)
                return None
            prediction = generation.run or await provider.get(prediction_id)
            if prediction and prediction.ended:
                return prediction
            missing = 0 if prediction else missing + 1
            age_s = monotonic() - submitted
            if missing >= MISSING_BEFORE_LOST and age_s >= self.pace.settle_s:
                raise _forgotten(provider, prediction_id)
            if age_s >= self.pace.run_s:
                return await self._overdue(provider, prediction_id)
            await asyncio.sleep(self.pace.poll_s)

    async def _overdue(self, provider: Provider, prediction_id: str) -> Prediction:
        await provider.cancel(prediction_id)
        prediction = await provider.get(prediction_id)
        if prediction and prediction.status == "succeeded":  # it ended between the last look and the cancel
            return prediction
        raise RunOverdue(f"The run took longer than {self.pace.run_s:.0f} s", prediction_id=prediction_id)


def _forgotten(provider: Provider, prediction_id: str) -> RunLost | SubmissionDoubtful:
    """A paid run that cannot be looked up: with a list another one is the remedy, without it is never asked again."""
    if provider.lists:
        return RunLost(f"{provider.name} does not know the run any more", prediction_id=prediction_id)
    return SubmissionDoubtful(f"{provider.name} does not know the run any more", prediction_id=prediction_id)
