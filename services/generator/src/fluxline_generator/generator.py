"""The work: one paid run at the provider for each generation, its images in our own storage.

Intent is committed before the provider is asked. Whatever answer is lost, the run is looked for in the provider's
list and adopted; it is asked again only when the list has had time to settle and does not show it.
"""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any, Final

from fluxline.contracts.events import GenerationRequested
from fluxline.storage import Storage
from fluxline.storage.files import translated as disk_errors
from fluxline_generator.errors import (
    ImageUnusable,
    NeedsReview,
    OutcomeUnknown,
    ProviderError,
    RunLost,
    RunOverdue,
)
from fluxline_generator.image_files import extension_of
from fluxline_generator.predictions import Prediction, image_urls
from fluxline_generator.prices import Prices
from fluxline_generator.prompts import order_of
from fluxline_generator.provider import Provider
from fluxline_generator.store import Generation, GenerationStore
from fluxline_generator.stored_images import images_prefix

MAX_LOST_RUNS: Final = 3
MISSING_BEFORE_LOST: Final = 3
CLOCK_SKEW_S: Final = 60.0
LOOKS: Final = 4
"""Into how many waits the settle window is divided at most: each look takes an attempt of the retry budget."""
_DOWNLOADS: Final = 2


@dataclass(frozen=True)
class Pace:
    """Seconds: between two looks at a run, until a run is canceled, until the provider's list has settled."""

    poll_s: float = 1.0
    run_s: float = 600.0
    settle_s: float = 120.0


class Generator:
    """Makes images; any number may run at once, also on the same generation."""

    def __init__(
        self, store: GenerationStore, provider: Provider, storage: Storage, prices: Prices, *, pace: Pace | None = None
    ) -> None:
        self.store = store
        self.provider = provider
        self.storage = storage
        self.prices = prices
        self.pace = pace or Pace()

    async def generate(self, event: GenerationRequested) -> Generation:
        """The finished generation, with its `outcome`; a repeated call goes on where the last one stopped.

        Raises ModelNotReady, ContentRefused, ImageUnusable, NeedsReview, OutcomeUnknown, ProviderError, StorageError.
        """
        generation = await self.store.open(event.generation_id, order_of(event))
        if generation.state == "submitting":
            generation = await self._reconcile(generation)
        if generation.state == "requested":
            generation = await self._submit(generation)
        if generation.state == "submitted":
            await self._complete(generation)
        return await self.store.read(event.generation_id)

    async def _submit(self, generation: Generation) -> Generation:
        """Commit the intent, then ask once."""
        if generation.lost >= MAX_LOST_RUNS:
            raise NeedsReview(submissions=generation.submissions)
        if not await self.store.intend(generation.generation_id):
            raise OutcomeUnknown
        generation = await self.store.read(generation.generation_id)
        try:
            prediction = await self.provider.create(generation.order)
        except ProviderError as error:
            if not error.ambiguous:
                await self.store.reset(generation, lost=False)
            raise
        return await self._adopt(generation, prediction.id)

    async def _reconcile(self, generation: Generation) -> Generation:
        """Find out what became of a submission whose answer is lost."""
        since_s = generation.submitted_s - CLOCK_SKEW_S
        found = [run.id async for run in self.provider.recent(since_s) if run.answers(generation.order)]
        taken = await self.store.taken(found)
        for prediction_id in found:
            if prediction_id not in taken:
                return await self._adopt(generation, prediction_id)
        left_s = self.pace.settle_s - generation.age_s
        if left_s > 0:
            raise OutcomeUnknown(retry_after_s=min(left_s, self.pace.settle_s / LOOKS), age_s=generation.age_s)
        await self.store.reset(generation, lost=True)
        return await self.store.read(generation.generation_id)

    async def _adopt(self, generation: Generation, prediction_id: str) -> Generation:
        if not await self.store.adopt(generation, prediction_id):
            raise OutcomeUnknown(prediction_id=prediction_id)
        return await self.store.read(generation.generation_id)

    async def _complete(self, generation: Generation) -> None:
        """Wait for the run, copy its images, store the outcome; a lost run makes room for another."""
        try:
            prediction = await self._ended(generation)
            keys = await self._copy(generation, image_urls(prediction))
        except RunLost:
            await self.store.reset(generation, lost=True)
            raise
        cost = self.prices.of(generation.order, len(keys), prediction)
        outcome: dict[str, Any] = {
            "image_keys": keys,
            "metrics": prediction.metrics,
            "cost": cost.model_dump() if cost else None,
        }
        await self.store.finish(generation, outcome)

    async def _ended(self, generation: Generation) -> Prediction:
        """The run once it has ended; canceled when it takes too long, RunLost when the provider forgot it.

        A run that is not known yet is as young as one that is not listed yet: it is given the same time.
        """
        prediction_id = generation.prediction_id or ""
        submitted = monotonic() - generation.age_s
        missing = 0
        while True:
            prediction = await self.provider.get(prediction_id)
            if prediction and prediction.ended:
                return prediction
            missing = 0 if prediction else missing + 1
            age_s = monotonic() - submitted
            if missing >= MISSING_BEFORE_LOST and age_s >= self.pace.settle_s:
                raise RunLost("Replicate does not know the run any more", prediction_id=prediction_id)
            if age_s >= self.pace.run_s:
                return await self._canceled(prediction_id)
            await asyncio.sleep(self.pace.poll_s)

    async def _canceled(self, prediction_id: str) -> Prediction:
        await self.provider.cancel(prediction_id)
        prediction = await self.provider.get(prediction_id)
        if prediction and prediction.status == "succeeded":  # it ended between the last look and the cancel
            return prediction
        raise RunOverdue(f"The run took longer than {self.pace.run_s:.0f} s", prediction_id=prediction_id)

    async def _copy(self, generation: Generation, urls: list[str]) -> list[str]:
        """The images into our storage, one at a time; the extension is that of the content."""
        keys = []
        with disk_errors(), TemporaryDirectory(prefix="generator-") as folder:
            for number, url in enumerate(urls):
                file = Path(folder) / "image"
                extension = await self._download(url, file)
                key = f"{images_prefix(generation.generation_id)}{number}.{extension}"
                content_type = f"image/{extension.replace('jpg', 'jpeg')}"
                await self.storage.put(key, file, content_type=content_type)
                keys.append(key)
        return keys

    async def _download(self, url: str, file: Path) -> str:
        """Copy one image and tell its extension; what is no whole image gets a second download."""
        for _ in range(_DOWNLOADS):
            await self.provider.download(url, file)
            extension = await asyncio.to_thread(extension_of, file)
            if extension is not None:
                return extension
        raise ImageUnusable("The provider delivered something that is no whole JPEG, PNG or WebP image")
