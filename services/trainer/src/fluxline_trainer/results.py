"""The weights' way home: fetched, checked and in our own storage before anybody hears of success."""

import asyncio
import hashlib
import math
import tempfile
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from pydantic import ValidationError

from fluxline.contracts.job import Cost
from fluxline.runtime.redaction import redact_text
from fluxline.storage import Storage
from fluxline.weights import WeightsLimits, open_weights
from fluxline.weights.traffic import WeightsTraffic
from fluxline_trainer.errors import AnswerUnreadable
from fluxline_trainer.provider import Provider, ProviderRun, RunOutput


class StoredWeights(NamedTuple):
    """The provider's tar in our storage, as it came, and the version that it was trained into."""

    key: str
    sha256: str
    size_bytes: int
    provider_version: str


class Results:
    """Copies results into storage. Doing it again overwrites the same key with the same bytes."""

    def __init__(
        self, provider: Provider, storage: Storage, limits: WeightsLimits, traffic: WeightsTraffic | None = None
    ) -> None:
        self._provider = provider
        self._storage = storage
        self._limits = limits
        self._traffic = traffic or WeightsTraffic()

    async def store(self, training_id: UUID, run: ProviderRun) -> StoredWeights:
        """Fetch the run's tar, check it, and put it at `weights/{training_id}/trained_model.tar`.

        Raises ProviderError, WeightsError or StorageError.
        """
        output = _output(run)
        key = f"weights/{training_id}/trained_model.tar"
        with tempfile.TemporaryDirectory(prefix="fluxline-trainer-") as folder:
            tar = Path(folder) / "trained_model.tar"
            await self._provider.download(output.weights, tar)
            await asyncio.to_thread(open_weights, tar, self._limits)
            sha256 = await asyncio.to_thread(_sha256, tar)
            stored = await self._storage.put(key, tar, content_type="application/x-tar")
            self._traffic.took(stored.size_bytes)
            self._traffic.gave(stored.size_bytes)
        return StoredWeights(key, sha256, stored.size_bytes, output.version)


def metrics_of(run: ProviderRun) -> dict[str, float]:
    """The run's figures, seconds; whatever is no plain number is left out, and a name that looks like a credential."""
    given: dict[str, Any] = run.metrics or {}
    return {name: float(value) for name, value in given.items() if _is_figure(value) and redact_text(name) == name}


def cost_of(run: ProviderRun, usd_per_second: float) -> Cost | None:
    """What the run cost by its predict time, or None when that is not known."""
    seconds = metrics_of(run).get("predict_time")
    if seconds is None:
        return None
    basis = f"{seconds:.1f} s of predict time at {usd_per_second:g} USD/s"
    return Cost(amount_usd=round(seconds * usd_per_second, 4), basis=basis)


def _is_figure(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0


def _output(run: ProviderRun) -> RunOutput:
    try:
        output = RunOutput.model_validate(run.output)
    except ValidationError as error:
        raise AnswerUnreadable("Replicate says that the training succeeded, but names no weights.") from error
    model = output.version.partition(":")[0]
    if redact_text(model) != model:
        raise AnswerUnreadable("Replicate's name of the trained model looks like a credential.")
    return output


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
