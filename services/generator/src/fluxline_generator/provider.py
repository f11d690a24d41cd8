"""What the work needs of whoever makes the images."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

from fluxline_generator.orders import Order
from fluxline_generator.predictions import Prediction
from fluxline_generator.prompts import Wanted


class Provider(Protocol):
    """Who makes the images. Every method but `order` may raise a `ProviderError`."""

    @property
    def name(self) -> str:
        """Under which it is configured and told."""
        ...

    @property
    def lists(self) -> bool:
        """Whether runs can be listed, so that a submission whose answer was lost can be looked for."""
        ...

    def order(self, wanted: Wanted) -> Order | None:
        """The request for exactly this; None when the provider cannot do exactly this."""
        ...

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
        """Every run created since then (Unix seconds), newest first; none where runs are not listed."""
        ...

    async def download(self, url: str, target: Path) -> None:
        """Copy a result; raises RunLost when it is gone."""
        ...

    async def close(self) -> None:
        """Let go of the connections."""
        ...
