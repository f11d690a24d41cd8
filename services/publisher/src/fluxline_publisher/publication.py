"""What is published, and what is asked of the hub for it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from uuid import UUID

from fluxline.contracts.events import TrainingSucceeded
from fluxline.contracts.job import HubPublication
from fluxline_publisher.card import make_card
from fluxline_publisher.weights import TrainedFiles


class Hub(Protocol):
    """Where models are published, in one namespace."""

    async def repo_id(self, name: str) -> str:
        """`namespace/name`; raises HubTokenRefused when the token may not write there."""
        ...

    async def exists(self, repo_id: str) -> bool:
        """Whether there is such a repository, whoever's it is."""
        ...

    async def publish(self, repo_id: str, publication: "Publication") -> HubPublication:
        """Publish once: adopt what an earlier attempt committed, else create the repository and commit.

        Raises RepoTaken when the repository belongs to something else, HubHashMismatch when other weights arrived.
        """
        ...

    async def remove(self, repo_id: str, title: str) -> bool:
        """Delete the repository if it holds nothing but commits of that title; True when it is not there any more."""
        ...


@dataclass(frozen=True)
class Publication:
    """What goes into the one commit: files by path in the repository; `title` marks the commit as this training's."""

    title: str
    private: bool
    card: str
    files: dict[str, Path]
    weights_sha256: str


def publication(job: TrainingSucceeded, repo_id: str, trained: TrainedFiles) -> Publication:
    """What is committed to `repo_id`; the same job and files give the same publication."""
    return Publication(
        title=commit_title(job.training_id),
        private=job.publish.private,
        card=make_card(job, repo_id, len(trained.captions)),
        files=trained.by_repo_path(),
        weights_sha256=trained.sha256,
    )


def commit_title(training_id: UUID) -> str:
    """What marks a commit as this training's."""
    return f"Publish the LoRA of fluxline training {training_id}"
