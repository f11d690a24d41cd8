"""What the user wants, the same whoever makes it."""

import re
from dataclasses import dataclass
from typing import Final

from fluxline.contracts.events import GenerationRequested
from fluxline.contracts.limits import BASE_MODELS
from fluxline_generator.errors import ModelNotReady

_MAX_SEED: Final = 2**31


@dataclass(frozen=True)
class Wanted:
    """Images of a LoRA (`version` at Replicate, `weights_key` in our storage) or, without either, of `base_model`."""

    prompt: str
    seed: int
    aspect_ratio: str
    num_outputs: int
    steps: int
    guidance: float
    output_format: str
    base_model: str
    version: str | None = None
    weights_key: str | None = None
    lora_scale: float | None = None

    @property
    def has_lora(self) -> bool:
        """Whether a LoRA is involved; then it is never left out."""
        return self.lora_scale is not None


def wanted_of(event: GenerationRequested) -> Wanted:
    """The wish with its trigger word and seed, the same on every attempt.

    Without a seed of the user's, one follows from the generation's id: the images can be made again, and the
    provider's list shows which run is ours. Raises ModelNotReady for a model without a LoRA.
    """
    asked = event.parameters
    has_lora = bool(event.provider_version or event.weights_key)
    if event.model_id is not None and not has_lora:
        raise ModelNotReady(model_id=str(event.model_id))
    return Wanted(
        prompt=with_trigger_word(asked.prompt, event.trigger_word) if has_lora else asked.prompt,
        seed=event.generation_id.int % _MAX_SEED if asked.seed is None else asked.seed,
        aspect_ratio=asked.aspect_ratio,
        num_outputs=asked.num_outputs,
        steps=asked.num_inference_steps,
        guidance=asked.guidance_scale,
        output_format=asked.output_format,
        base_model=event.base_model or BASE_MODELS[0],
        version=event.provider_version.rpartition(":")[2] if event.provider_version else None,
        weights_key=event.weights_key,
        lora_scale=asked.lora_scale if has_lora else None,
    )


def with_trigger_word(prompt: str, trigger_word: str | None) -> str:
    """`prompt` with the trigger word in front, unless it holds it as a whole word (case-sensitive) already."""
    if not trigger_word or re.search(rf"(?<!\w){re.escape(trigger_word)}(?!\w)", prompt):
        return prompt
    return f"{trigger_word}, {prompt}"
