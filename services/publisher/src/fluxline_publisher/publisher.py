"""The work: the trainer's archive becomes checked weights in storage and, if wanted, one commit on the hub."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Protocol

from fluxline.contracts.events import TrainingSucceeded
from fluxline.contracts.job import HubPublication
from fluxline.storage import Storage
from fluxline_publisher.card import make_card
from fluxline_publisher.errors import LicenseNotAccepted, WeightsDamaged
from fluxline_publisher.names import repo_name
from fluxline_publisher.weights import TrainedFiles, unpack

_DOWNLOADS: Final = 2

Report = Callable[[int, int], Awaitable[None]]
"""Told (bytes done, bytes in all)."""


class Hub(Protocol):
    """Where models are published, in one namespace."""

    async def repo_id(self, name: str) -> str:
        """`namespace/name`; raises HubTokenRefused when the token may not write there."""
        ...

    async def publish(self, repo_id: str, publication: "Publication") -> HubPublication:
        """Publish once: adopt what an earlier attempt committed, else create the repository and commit.

        Raises RepoTaken when the repository belongs to something else, HubHashMismatch when other weights arrived.
        """
        ...


@dataclass(frozen=True)
class Publication:
    """What goes into the one commit: files by path in the repository; `title` marks the commit as this training's."""

    title: str
    private: bool
    card: str
    files: dict[str, Path]
    weights_sha256: str


@dataclass(frozen=True)
class Model:
    """Checked weights in our storage, and where they were published (None: publishing is off)."""

    weights_key: str
    sha256: str
    size_bytes: int
    huggingface: HubPublication | None


class Publisher:
    """Publishes trained models; doing it twice is doing it once."""

    def __init__(self, storage: Storage, hub: Hub) -> None:
        self.storage = storage
        self.hub = hub

    async def publish(self, job: TrainingSucceeded, report: Report) -> Model:
        """Check and store the weights, then publish them unless the owner said no.

        Raises LicenseNotAccepted and RepoNameInvalid before anything is done; WeightsDamaged, WeightsUnusable,
        StorageError, and what the hub raises.
        """
        repo_id = await self._repo_id(job)
        with TemporaryDirectory(prefix="publisher-") as name:
            folder = Path(name)
            await self._download(job, folder / "trained_model.tar")
            trained = await asyncio.to_thread(unpack, folder / "trained_model.tar", folder / "files")
            await report(0, trained.size_bytes)
            key = f"models/{job.training_id}/lora.safetensors"
            await self.storage.put(key, trained.weights, content_type="application/octet-stream")
            published = repo_id and await self.hub.publish(repo_id, publication(job, repo_id, trained))
            await report(trained.size_bytes, trained.size_bytes)
        return Model(key, trained.sha256, trained.size_bytes, published or None)

    async def _repo_id(self, job: TrainingSucceeded) -> str | None:
        if not job.publish.enabled:
            return None
        if not job.publish.accept_license:
            raise LicenseNotAccepted
        return await self.hub.repo_id(repo_name(job))

    async def _download(self, job: TrainingSucceeded, target: Path) -> None:
        """The trainer's archive as announced; a wrong hash gets a second download."""
        for _ in range(_DOWNLOADS):
            await self.storage.get(job.weights_key, target)
            if await asyncio.to_thread(_sha256, target) == job.sha256:
                return
        raise WeightsDamaged(key=job.weights_key)


def publication(job: TrainingSucceeded, repo_id: str, trained: TrainedFiles) -> Publication:
    """What is committed to `repo_id`; the same job and files give the same publication."""
    return Publication(
        title=f"Publish the LoRA of fluxline training {job.training_id}",
        private=job.publish.private,
        card=make_card(job, repo_id, len(trained.captions)),
        files=trained.by_repo_path(),
        weights_sha256=trained.sha256,
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
