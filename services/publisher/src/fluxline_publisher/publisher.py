"""The work: the trainer's archive becomes checked weights in storage and, if wanted, one commit on the hub."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Final, Protocol, Self

from fluxline.contracts.events import TrainingSucceeded
from fluxline.contracts.job import HubPublication
from fluxline.storage import ObjectMissing, Storage
from fluxline.weights.traffic import WeightsTraffic
from fluxline_publisher.errors import LicenseNotAccepted, WeightsDamaged, WeightsGone
from fluxline_publisher.names import repo_name
from fluxline_publisher.publication import Hub, publication
from fluxline_publisher.repositories import CreatedRepository, Repositories, models_prefix
from fluxline_publisher.weights import TrainedFiles, check, unpack

_DOWNLOADS: Final = 2

Report = Callable[[int, int], Awaitable[None]]
"""Told (bytes done, bytes in all)."""


@dataclass(frozen=True)
class Model:
    """Checked weights in our storage, and where they were published (None: publishing is off)."""

    weights_key: str
    sha256: str
    size_bytes: int
    huggingface: HubPublication | None


Announce = Callable[[Model], Awaitable[None]]
"""Tells everybody that the model is ready; returns once that is certain."""


class Claim(Protocol):
    """The right to publish the run: an async context that takes it, and gives it back when an error ends it.

    Every step may raise BrokerUnavailable, and JobOver when the run is canceled or published.
    """

    async def __aenter__(self) -> Self:
        """Take it."""
        ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Give it back, unless the model may have been announced."""
        ...

    async def require_open(self) -> None:
        """Return unless the run is decided."""
        ...

    async def confirm(self) -> None:
        """Return while it is still ours; from then on it is not given back."""
        ...

    async def published(self) -> None:
        """The model was announced: nobody can cancel the run any more."""
        ...


class Publisher:
    """Publishes trained models; doing it twice is doing it once."""

    def __init__(self, storage: Storage, hub: Hub, traffic: WeightsTraffic | None = None) -> None:
        self.storage = storage
        self.hub = hub
        self.repositories = Repositories(storage)
        self.traffic = traffic or WeightsTraffic()

    async def publish(self, job: TrainingSucceeded, claim: Claim, report: Report, announce: Announce) -> None:
        """Check the weights; under the claim store them, publish them unless the owner said no, and announce the model.

        Raises LicenseNotAccepted, RepoNameInvalid, WeightsDamaged, WeightsUnusable before anything is done; JobOver
        when the run was canceled or is published; StorageError, and what the hub and the claim raise.
        """
        repo_id = await self._repo_id(job)
        with TemporaryDirectory(prefix="publisher-") as name:
            trained = await self._trained(job, claim, Path(name))
            async with claim:
                await report(0, trained.size_bytes)
                model = await self._create(job, repo_id, trained)
                await claim.confirm()
                await report(trained.size_bytes, trained.size_bytes)
                await announce(model)
                await claim.published()

    async def _create(self, job: TrainingSucceeded, repo_id: str | None, trained: TrainedFiles) -> Model:
        key = _key_of(job)
        await self.storage.put(key, trained.weights, content_type="application/octet-stream")
        self.traffic.gave(trained.size_bytes)
        published = await self._to_hub(job, repo_id, trained) if repo_id else None
        return Model(key, trained.sha256, trained.size_bytes, published)

    async def _to_hub(self, job: TrainingSucceeded, repo_id: str, trained: TrainedFiles) -> HubPublication:
        """Note a repository before it is created, and again before it is announced: only so it may be removed later."""
        if not await self.hub.exists(repo_id):
            await self.repositories.note(job.training_id, CreatedRepository(repo=repo_id))
        published = await self.hub.publish(repo_id, publication(job, repo_id, trained))
        self.traffic.gave(trained.size_bytes)
        if await self.repositories.created_for(job.training_id):
            await self.repositories.note(job.training_id, CreatedRepository(repo=repo_id, announced=True))
        return published

    async def _repo_id(self, job: TrainingSucceeded) -> str | None:
        if not job.publish.enabled:
            return None
        if not job.publish.accept_license:
            raise LicenseNotAccepted
        return await self.hub.repo_id(repo_name(job))

    async def _trained(self, job: TrainingSucceeded, claim: Claim, folder: Path) -> TrainedFiles:
        """What was trained: out of the trainer's archive, else our own copy of it, which is younger than its event.

        Only that is there when the model was published after the backup that the databases were restored from.
        """
        try:
            await self._download(job, claim, folder / "trained_model.tar")
        except WeightsGone:
            copy = await self.storage.stat(_key_of(job))
            if copy is None or copy.last_modified < job.occurred_at:
                raise
            await self.storage.get(copy.key, folder / "lora.safetensors")
            return await asyncio.to_thread(check, folder / "lora.safetensors")
        return await asyncio.to_thread(unpack, folder / "trained_model.tar", folder / "files")

    async def _download(self, job: TrainingSucceeded, claim: Claim, target: Path) -> None:
        """The trainer's archive as announced; a wrong hash gets a second download.

        It is removed once the model is announced, which an attempt may have done whose end was lost.
        """
        for _ in range(_DOWNLOADS):
            try:
                stored = await self.storage.get(job.weights_key, target)
                self.traffic.took(stored.size_bytes)
            except ObjectMissing as error:
                await claim.require_open()
                raise WeightsGone(key=job.weights_key) from error
            if await asyncio.to_thread(_sha256, target) == job.sha256:
                return
        raise WeightsDamaged(key=job.weights_key)


def _key_of(job: TrainingSucceeded) -> str:
    return f"{models_prefix(job.training_id)}lora.safetensors"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
