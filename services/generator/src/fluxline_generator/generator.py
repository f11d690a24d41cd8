"""The work: one paid run at a provider for each generation, its images in our own storage."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final
from uuid import UUID

from fluxline.contracts.errors import FluxlineError
from fluxline.contracts.events import GenerationRequested
from fluxline.storage import Storage
from fluxline_generator.errors import NeedsReview, RunLost
from fluxline_generator.failover import Failover
from fluxline_generator.image_copies import ImageCopies
from fluxline_generator.predictions import image_urls
from fluxline_generator.prices import Prices
from fluxline_generator.prompts import wanted_of
from fluxline_generator.provider import Provider
from fluxline_generator.store import Generation, GenerationStore
from fluxline_generator.stored_images import StoredImages
from fluxline_generator.submission import Submission
from fluxline_generator.waiting import Pace, Wait

RUNS_AT_ONCE: Final = 8
CANCELED: Final = ("canceled", "withdrawn")
ENDED: Final = ("succeeded", *CANCELED)


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
        pace = pace or Pace()
        self.store = store
        self.failover = Failover(store, providers)
        self.submission = Submission(store, self.failover, pace.settle_s)
        self.wait = Wait(store, pace)
        self.storage = storage
        self.images = StoredImages(storage)
        self.copies = ImageCopies(storage)
        self.prices = prices
        self._slots = {provider.name: asyncio.Semaphore(at_once) for provider in providers}

    async def generate(self, event: GenerationRequested) -> Generation:
        """The generation once it has ended with success or a cancel; a repeated call goes on where the last stopped.

        Raises ModelNotReady, ContentRefused, ImageUnusable, NeedsReview, OutcomeUnknown, ProviderDeclined,
        ProviderError, ProvidersExhausted, StorageError, SubmissionDoubtful.
        """
        wanted = wanted_of(event)
        generation = await self.store.open(event.generation_id, wanted, *self.failover.first(wanted))
        while generation.state not in ENDED:
            async with self._slot(generation) as provider:
                generation = await self._work(provider, event.generation_id)
        return await self._cleared(generation)

    async def give_up(self, generation_id: UUID) -> Generation:
        """Nothing is tried any more: the generation as it ended."""
        return await self._cleared(await self.store.fail(generation_id))

    async def _cleared(self, generation: Generation) -> Generation:
        """What is canceled keeps no images."""
        if generation.state in CANCELED:
            await self.images.remove(generation.generation_id)
        return generation

    @asynccontextmanager
    async def _slot(self, generation: Generation) -> AsyncIterator[Provider]:
        """The generation's provider, for one of the runs that it may have at once."""
        provider = self.failover.providers.get(generation.provider)
        if provider is None:
            raise NeedsReview(f"{generation.provider} has been asked, and is not configured any more")
        async with self._slots[provider.name]:
            try:
                yield provider
            except FluxlineError as error:
                error.context.setdefault("provider", provider.name)
                raise

    async def _work(self, provider: Provider, generation_id: UUID) -> Generation:
        """From submission to end, while it is this provider's."""
        generation = await self.store.read(generation_id)  # it may have waited for long
        while generation.provider == provider.name and generation.state not in ENDED:
            await self._step(provider, generation)
            generation = await self.store.read(generation_id)
        return generation

    async def _step(self, provider: Provider, generation: Generation) -> None:
        """From one state to another."""
        if generation.state == "submitting":
            await self.submission.reconcile(provider, generation)
        elif generation.state == "submitted":
            await self._complete(provider, generation)
        elif generation.cancel_requested:
            await self.store.canceled(generation)
        else:
            await self.submission.submit(provider, generation)

    async def _complete(self, provider: Provider, generation: Generation) -> None:
        """Wait for the run, copy its images, store the outcome; a lost run makes room for another."""
        try:
            prediction = await self.wait.ended(provider, generation)
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
            await self.store.canceled(generation, outcome)  # it was marked while the images were copied
