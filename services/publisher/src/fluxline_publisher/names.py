"""Repository names: readable, safe for the hub, the same on every attempt, unique by training."""

import re
from typing import Final

from anyascii import anyascii

from fluxline.contracts.events import TrainingSucceeded
from fluxline_publisher.errors import RepoNameInvalid

MAX_CHARS: Final = 96
_ID_CHARS: Final = 8
_FALLBACK: Final = "flux-lora"
_FORBIDDEN: Final = re.compile(r"--|\.\.|[^A-Za-z0-9._-]|^[-.]|[-.]$|\.git$|\.ipynb$")


def repo_name(job: TrainingSucceeded) -> str:
    """The name (without namespace) that the owner chose, or `<name in ASCII>-<8 hex of the training id>`.

    Raises:
        RepoNameInvalid: the chosen name breaks a rule of the hub (validate_repo_id of huggingface_hub).
    """
    chosen = job.publish.repo_name
    if chosen is None:
        return derived_name(job.name, job.training_id.hex)
    if len(chosen) > MAX_CHARS or _FORBIDDEN.search(chosen):
        raise RepoNameInvalid(f"Hugging Face does not allow the repository name {chosen!r}")
    return chosen


def derived_name(name: str, training_hex: str) -> str:
    """Transliterated and reduced to lower-case letters, digits and single dashes; at most 96 characters."""
    slug = re.sub(r"[^a-z0-9]+", "-", anyascii(name).lower()).strip("-")
    slug = slug[: MAX_CHARS - _ID_CHARS - 1].rstrip("-") or _FALLBACK
    return f"{slug}-{training_hex[:_ID_CHARS]}"
