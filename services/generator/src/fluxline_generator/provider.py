"""What the work needs of whoever makes the images."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

from fluxline_generator.predictions import Prediction
from fluxline_generator.prompts import Order


class Provider(Protocol):
    """Who makes the images. Every method may raise a `ProviderError`."""

    async def create(self, order: Order) -> Prediction:
        """Start a run, sending the request once; the error says whether it may have started."""
        ...

    async def get(self, prediction_id: str) -> Prediction | None:
        """The run as it is now; None when the provider does not know it."""
        ...

    async def cancel(self, prediction_id: str) -> None:
        """Stop a run; nothing happens when it has ended."""
        ...

    def recent(self, since_s: float) -> AsyncIterator[Prediction]:
        """Every run created since then (Unix seconds), newest first."""
        ...

    async def download(self, url: str, target: Path) -> None:
        """Copy a result; raises RunLost when it is gone."""
        ...
