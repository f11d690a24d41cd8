"""What is asked of the provider, from what the user asked for."""

import re
from dataclasses import dataclass
from typing import Any, Final

from fluxline.contracts.events import GenerationRequested
from fluxline_generator.errors import ModelNotReady

BASE_MODEL: Final = "black-forest-labs/flux-dev"
_MAX_SEED: Final = 2**31


@dataclass(frozen=True)
class Order:
    """One request to the provider. `target` is a version (64 hex) or a base model (owner/name)."""

    target: str
    input: dict[str, Any]

    @property
    def is_base_model(self) -> bool:
        """Whether no LoRA is involved."""
        return self.target == BASE_MODEL

    @property
    def prompt(self) -> str:
        """The prompt as sent."""
        return str(self.input["prompt"])


def order_of(event: GenerationRequested) -> Order:
    """The complete request, the same on every attempt; a LoRA is never replaced by the base model.

    Without a seed of the user's, one follows from the generation's id: the images can be made again, and the
    provider's list shows which prediction is ours. Raises ModelNotReady.
    """
    asked = event.parameters
    seed = event.generation_id.int % _MAX_SEED if asked.seed is None else asked.seed
    common = {
        "aspect_ratio": asked.aspect_ratio,
        "num_outputs": asked.num_outputs,
        "num_inference_steps": asked.num_inference_steps,
        "output_format": asked.output_format,
        "seed": seed,
    }
    if event.provider_version is None:
        if event.model_id is not None:
            raise ModelNotReady(model_id=str(event.model_id))
        return Order(BASE_MODEL, {"prompt": asked.prompt, "guidance": asked.guidance_scale, **common})
    lora = {"model": "dev", "lora_scale": asked.lora_scale, "guidance_scale": asked.guidance_scale}
    prompt = with_trigger_word(asked.prompt, event.trigger_word)
    return Order(event.provider_version.rpartition(":")[2], {"prompt": prompt, **lora, **common})


def with_trigger_word(prompt: str, trigger_word: str | None) -> str:
    """`prompt` with the trigger word in front, unless it holds it as a whole word (case-sensitive) already."""
    if not trigger_word or re.search(rf"(?<!\w){re.escape(trigger_word)}(?!\w)", prompt):
        return prompt
    return f"{trigger_word}, {prompt}"
