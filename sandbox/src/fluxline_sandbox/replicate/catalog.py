"""The models that exist from the start: two trainers and two base models, with stable version ids."""

import hashlib
from dataclasses import dataclass

from fluxline_sandbox.replicate import inputs


@dataclass(frozen=True)
class KnownModel:
    """A public model; `tar_path` is where a trainer puts the weights inside its tar, None when it cannot train."""

    owner: str
    name: str
    schema: inputs.Schema
    tar_path: str | None = None

    @property
    def id(self) -> str:
        """`owner/name`."""
        return f"{self.owner}/{self.name}"

    @property
    def version(self) -> str:
        """64 hex digits that never change."""
        return hashlib.sha256(f"sandbox version of {self.id}".encode()).hexdigest()


_ALL = [
    KnownModel(
        "ostris",
        "flux-dev-lora-trainer",
        inputs.FLUX_DEV_LORA_TRAINER,
        "output/flux_train_replicate/lora.safetensors",
    ),
    KnownModel("replicate", "fast-flux-trainer", inputs.FAST_FLUX_TRAINER, "flux-lora/flux-lora.safetensors"),
    KnownModel("black-forest-labs", "flux-dev", inputs.FLUX_DEV),
    KnownModel("black-forest-labs", "flux-schnell", inputs.FLUX_SCHNELL),
]
MODELS = {model.id: model for model in _ALL}
