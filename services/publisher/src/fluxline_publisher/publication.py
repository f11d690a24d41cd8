"""What is published, and what is asked of the hub for it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol
from uuid import UUID

from fluxline.contracts.events import ModelCardRequested, TrainingSucceeded
from fluxline.contracts.job import HubPublication
from fluxline_publisher.card import Sample, make_card
from fluxline_publisher.weights import TrainedFiles

SAMPLES: Final = "sample images"
IMAGES: Final = "images/sample-"
"""How the paths of sample images begin in the repository."""


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
        """Delete the repository if all its commits are of that title, or marked as following it.

        True when it is not there any more.
        """
        ...

    async def update_card(self, repo_id: str, update: "CardUpdate") -> str | None:
        """The commit that has the card and its images, adopted if an earlier attempt made it.

        A card that somebody else has changed keeps what they wrote. None where there is nothing to update: the
        repository is gone or another one, or shows a newer revision.
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
class CardUpdate:
    """A card with sample images: files by path in the repository, in the order of the request's samples."""

    request: ModelCardRequested
    images: dict[str, Path]

    @property
    def title(self) -> str:
        """What marks the commit as this revision's."""
        return card_title(self.request.training_id, self.request.revision)

    @property
    def samples(self) -> list[Sample]:
        """What the gallery shows."""
        texts = [sample.text for sample in self.request.samples]
        return [Sample(text, path) for text, path in zip(texts, self.images, strict=True)]

    def card(self, caption_count: int) -> str:
        """The README.md, made anew."""
        return make_card(self.request, self.request.huggingface.repo, caption_count, self.samples)


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


def follows(title: str, of: str) -> bool:
    """Whether a commit with that title was made by us after one titled `of`, or is it."""
    return title == of or title.startswith(f"{of}: ")


def card_title(training_id: UUID, revision: int) -> str:
    """What marks a commit as that revision of the training's sample images."""
    return f"{commit_title(training_id)}: {SAMPLES} {revision}"


def revision_of(title: str, training_id: UUID) -> int:
    """The revision of the sample images that a commit of that title holds; 0 if it holds none."""
    start, _, revision = title.rpartition(" ")
    ours = f"{commit_title(training_id)}: {SAMPLES}"
    return int(revision) if start == ours and revision.isdecimal() else 0
