"""The work: one paid run at a provider for each generation, its images in our own storage.

Intent is committed before the provider is asked. Whatever answer is lost, the run is looked for in the provider's
list and adopted; it is asked again only when the list has had time to settle and does not show it. A provider
without a list is not asked again.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final

from fluxline.contracts.events import GenerationRequested
from fluxline.storage import Storage
from fluxline_generator.errors import (
    NeedsReview,
    OutcomeUnknown,
    ProviderError,
    RunLost,
    RunOverdue,
    SubmissionDoubtful,
)
from fluxline_generator.failover import Failover
from fluxline_generator.image_copies import ImageCopies
from fluxline_generator.predictions import Prediction, image_urls
from fluxline_generator.prices import Prices
from fluxline_generator.prompts import wanted_of
from fluxline_generator.provider import Provider
from fluxline_generator.store import Generation, GenerationStore
from fluxline_generator.stored_images import StoredImages

MAX_LOST_RUNS: Final = 3
MISSING_BEFORE_LOST: Final = 3
CLOCK_SKEW_S: Final = 60.0
LOOKS: Final = 4
"""Into how many waits the settle window is divided at most: each look takes an attempt of the retry budget."""
RUNS_AT_ONCE: Final = 8
ENDED: Final = ("succeeded", "canceled")


@dataclass(frozen=True)
class Pace:
    """Seconds: between two looks at a run, until a run is canceled, until the provider's list has settled."""

    poll_s: float = 1.0
    run_s: float = 600.0
    settle_s: float = 120.0


class Generator:
    """Makes images; any number may run at once, also on the same generation. At most `at_once` runs per provider."""

    def __init__(
        self,
        store: GenerationStore,
        providers: Sequence[Provider],
        storage: Storage,
        prices: Prices,
        *,
        pace: Pace | None = None,
        at_once: int = RUNS_AT_ONCE,
    ) -> None:
        self.store = store
        self.failover = Failover(store, providers)
        self.storage = storage
        self.images = StoredImages(storage)
        self.copies = ImageCopies(storage)
        self.prices = prices
        self.pace = pace or Pace()
        self._slots = {provider.name: asyncio.Semaphore(at_once) for provider in providers}

    async def generate(self, event: GenerationRequested) -> Generation:
        """The generation once it is succeeded or canceled; a repeated call goes on where the last one stopped.

        Raises ModelNotReady, ContentRefused, ImageUnusable, NeedsReview, OutcomeUnknown, ProviderError,
        ProvidersExhausted, StorageError, SubmissionDoubtful.
        """
        wanted = wanted_of(event)
        generation = await self.store.open(event.generation_id, wanted, *self.failover.first(wanted))
        while generation.state not in ENDED:
            async with self._slots[self._provider(generation).name]:
                generation = await self.store.read(event.generation_id)  # it may have waited for long
                await self._step(generation)
            generation = await self.store.read(event.generation_id)
        if generation.state == "canceled":
            await self.images.remove(generation.generation_id)
        return generation

    def _provider(self, generation: Generation) -> Provider:
        provider = self.failover.providers.get(generation.provider)
        if provider is None:
            raise NeedsReview(f"{generation.provider} has been asked, and is not configured any more")
        return provider

    async def _step(self, generation: Generation) -> None:
        """From one state to another, or on to the next provider."""
        if generation.state == "submitting":
            await self._reconcile(generation)
        elif generation.state == "requested" and generation.cancel_requested:
            await self.store.canceled(generation)
        elif generation.state == "requested":
            await self._submit(generation)
        elif generation.state == "submitted":
            await self._complete(generation)

    async def _submit(self, generation: Generation) -> None:
        """Commit the intent, then ask once."""
        if generation.lost >= MAX_LOST_RUNS:
            if await self.failover.move(generation, RunLost(f"{generation.lost} runs were lost")):
                return
            raise NeedsReview(submissions=generation.submissions)
        if not await self.store.intend(generation.generation_id):
            if (await self.store.read(generation.generation_id)).cancel_requested:
                return
            raise OutcomeUnknown
        generation = await self.store.read(generation.generation_id)
        provider = self._provider(generation)
        try:
            prediction = await provider.create(generation.order)
        except ProviderError as error:
            if not error.ambiguous:
                await self.failover.decline(generation, error)
                return
            if not provider.lists:
                raise SubmissionDoubtful(f"{error.message}; it may have been accepted") from error
            raise
        await self._adopt(generation, prediction.id)

    async def _reconcile(self, generation: Generation) -> None:
        """Find out what became of a submission whose answer is lost."""
        provider = self._provider(generation)
        since_s = generation.submitted_s - CLOCK_SKEW_S
        found = [run.id async for run in provider.recent(since_s) if run.answers(generation.order)]
        taken = await self.store.taken(found)
        for prediction_id in found:
            if prediction_id not in taken:
                await self._adopt(generation, prediction_id)
                return
        left_s = self.pace.settle_s - generation.age_s
        if left_s > 0:
            raise OutcomeUnknown(retry_after_s=min(left_s, self.pace.settle_s / LOOKS), age_s=generation.age_s)
        if not provider.lists:
            raise SubmissionDoubtful(f"Whether {provider.name} has accepted the request is not known")
        await self.store.reset(generation, lost=True)

    async def _adopt(self, generation: Generation, prediction_id: str) -> None:
        if not await self.store.adopt(generation, prediction_id):
            raise OutcomeUnknown(prediction_id=prediction_id)

    async def _complete(self, generation: Generation) -> None:
        """Wait for the run, copy its images, store the outcome; a lost run makes room for another."""
        provider = self._provider(generation)
        try:
            prediction = await self._ended(provider, generation)
            if prediction is None:
                await self.store.canceled(generation)
                return
            keys = await self.copies.store(provider, generation, image_urls(prediction))
        except RunLost:
            await self.store.reset(generation, lost=True)
            raise
        cost = self.prices.of(provider.name, generation.order, len(keys), prediction)
        outcome: dict[str, Any] = {
            "image_keys": keys,
            "metrics": prediction.metrics,
            "cost": cost.model_dump() if cost else None,
        }
        if not await self.store.finish(generation, outcome):
            await self.store.canceled(generation)  # it was marked while the images were copied

    async def _ended(self, provider: Provider, generation: Generation) -> Prediction | None:
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
            prediction = await provider.get(prediction_id)
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
