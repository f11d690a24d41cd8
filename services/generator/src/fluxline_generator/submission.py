"""The paid call: its intent is committed before, and what became of a lost answer is found out after.

Whatever answer is lost, the run is looked for in the provider's list and adopted; it is asked again only when the
list has had time to settle and does not show it. A provider without a list is not asked again.
"""

from typing import Final

from fluxline_generator.errors import NeedsReview, OutcomeUnknown, ProviderError, RunLost, SubmissionDoubtful
from fluxline_generator.failover import Failover
from fluxline_generator.predictions import Prediction
from fluxline_generator.provider import Provider
from fluxline_generator.store import Generation, GenerationStore

MAX_LOST_RUNS: Final = 3
CLOCK_SKEW_S: Final = 60.0
LOOKS: Final = 4
"""Into how many waits the settle window is divided at most: each look takes an attempt of the retry budget."""


class Submission:
    """Asks providers, each time once. `settle_s` must exceed the worst lag of a provider's list."""

    def __init__(self, store: GenerationStore, failover: Failover, settle_s: float) -> None:
        self.store = store
        self.failover = failover
        self.settle_s = settle_s

    async def submit(self, provider: Provider, generation: Generation) -> None:
        """Commit the intent, then ask once."""
        if generation.lost >= MAX_LOST_RUNS:
            await self.failover.move(generation, RunLost(f"{generation.lost} runs were lost"))
            raise NeedsReview(submissions=generation.submissions)
        if not await self.store.intend(generation.generation_id):
            if (await self.store.read(generation.generation_id)).cancel_requested:
                return
            raise OutcomeUnknown
        generation = await self.store.read(generation.generation_id)
        try:
            run = await provider.create(generation.order)
        except ProviderError as error:
            if not error.ambiguous:
                await self.failover.decline(generation, error)
            if not provider.lists:
                raise SubmissionDoubtful(f"{error.message}; it may have been accepted") from error
            raise
        await self._adopt(generation, run)

    async def reconcile(self, provider: Provider, generation: Generation) -> None:
        """Find out what became of a submission whose answer is lost."""
        since_s = generation.submitted_s - CLOCK_SKEW_S
        found = {run.id: run async for run in provider.recent(since_s) if run.answers(generation.order)}
        taken = await self.store.taken(list(found))
        for prediction_id, run in found.items():
            if prediction_id not in taken:
                await self._adopt(generation, run)
                return
        left_s = self.settle_s - generation.age_s
        if left_s > 0:
            raise OutcomeUnknown(retry_after_s=min(left_s, self.settle_s / LOOKS), age_s=generation.age_s)
        if not provider.lists:
            raise SubmissionDoubtful(f"Whether {provider.name} has accepted the request is not known")
        await self.store.reset(generation, lost=True)

    async def _adopt(self, generation: Generation, run: Prediction) -> None:
        if not await self.store.adopt(generation, run):
            raise OutcomeUnknown(prediction_id=run.id)
