"""What the trainer needs of a provider: the port, and what travels through it."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field


class RunStatus(StrEnum):
    """The provider's words for where a training is; `aborted` means that it could not start in time."""

    STARTING = "starting"
    PROCESSING = "processing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    ABORTED = "aborted"

    @property
    def is_final(self) -> bool:
        """Whether nothing follows."""
        return self not in (RunStatus.STARTING, RunStatus.PROCESSING)


class RunOutput(BaseModel):
    """What a training made: `version` is `owner/name:<64 hex>`, `weights` the address of a tar."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    version: str = Field(pattern=r"^[^\s:]+/[^\s:]+:[0-9a-f]{64}$")
    weights: str = Field(max_length=2048)


class ProviderRun(BaseModel):
    """A training as the provider's API shows it; times are UTC, metrics are seconds.

    The client's own model drops `metrics` and refuses the status `aborted`.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str = Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")
    status: RunStatus
    destination: str | None = None
    input: dict[str, Any] | None = None
    output: Any = None
    error: Any = None
    logs: str | None = None
    metrics: dict[str, Any] | None = None
    created_at: AwareDatetime | None = None


@dataclass(frozen=True)
class Order:
    """One paid training to be created: which trainer, where the result goes, and the trainer's inputs."""

    trainer: str
    version: str
    destination: str
    input: Mapping[str, Any]
    webhook_url: str | None = None


class Provider(Protocol):
    """A training provider. Every call ends within its own timeout and raises a `ProviderError`."""

    async def account(self) -> str:
        """The name of the account that the key belongs to."""
        ...

    async def ensure_destination(self, owner: str, name: str) -> bool:
        """Make the model that receives the result, private, unless it is there; True when it was."""
        ...

    async def delete_model(self, model: str) -> None:
        """Remove the model `owner/name`; nothing happens when there is none."""
        ...

    async def latest_version(self, trainer: str) -> str:
        """The newest version (64 hex) of the trainer `owner/name`."""
        ...

    async def create(self, order: Order) -> ProviderRun:
        """Start a paid training: one request, never repeated here; see `ProviderError.ambiguous`."""
        ...

    async def get(self, run_id: str) -> ProviderRun:
        """The training now; raises `NotFound`."""
        ...

    def newest_first(self) -> AsyncIterator[ProviderRun]:
        """The account's trainings, newest first, fetched page by page as they are consumed."""
        ...

    async def cancel(self, run_id: str) -> None:
        """Stop a training; a finished one stays as it is. Raises `NotFound`."""
        ...

    async def download(self, url: str, target: Path) -> None:
        """Copy a result to a new file; what an error leaves there is incomplete."""
        ...

    def page_of(self, run_id: str) -> str:
        """Where a person sees the training."""
        ...
