"""The model card, generated from the job: metadata by the hub's convention for FLUX LoRAs, then text for people.

What users wrote (name, trigger word) goes through a YAML writer, a Markdown escape or a Python literal, so that it
cannot end the block that it stands in. Convention: https://huggingface.co/docs/hub/model-cards.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from huggingface_hub import ModelCard, ModelCardData

from fluxline.contracts.job import JobEvent
from fluxline_publisher.errors import CardInvalid

GALLERY: Final = "<Gallery />"
WEIGHTS_NAME: Final = "lora.safetensors"
LICENSE_NAME: Final = "flux-1-dev-non-commercial-license"
LICENSE_LINK: Final = "https://huggingface.co/black-forest-labs/FLUX.1-dev/blob/main/LICENSE.md"
TAGS: Final = ("text-to-image", "flux", "lora", "diffusers", "template:sd-lora", "replicate")
_FIELDS: Final = (
    *("license", "license_name", "license_link", "base_model", "pipeline_tag", "library_name"),
    *("tags", "instance_prompt", "widget"),
)
_PUNCTUATION: Final = re.compile(r"([!-/:-@\[-`{-~])")

_TEXT: Final = """
# {title}

<Gallery />

A LoRA for [FLUX.1-dev](https://huggingface.co/{base_model}), trained with fluxline on Replicate.

## Trigger word

Use {trigger} in the prompt to call what was trained.

## Training parameters

| parameter | value |
|---|---|
{parameters}

## Use with diffusers

```python
import torch
from diffusers import AutoPipelineForText2Image

pipeline = AutoPipelineForText2Image.from_pretrained({base_model!r}, torch_dtype=torch.bfloat16).to("cuda")
pipeline.load_lora_weights({repo!r}, weight_name={weights!r})
image = pipeline({prompt!r}).images[0]
image.save("image.png")
```

## License

A derivative of FLUX.1-dev, under the [FLUX.1 \\[dev\\] Non-Commercial License]({license_link}): no commercial use
of the model; the license says what may be done with its images.
"""


@dataclass(frozen=True)
class Sample:
    """An image of the gallery: the prompt that made it, and its path in the repository."""

    text: str
    path: str

    @property
    def shown(self) -> dict[str, Any]:
        """As the card's metadata tell it."""
        return {"text": self.text, "output": {"url": self.path}}


def make_card(job: JobEvent, repo: str, caption_count: int, samples: Sequence[Sample] = ()) -> str:
    """The README.md of the model in `repo` (namespace/name); the same job and samples give the same text.

    Raises:
        CardInvalid: the result does not read back as what was put in.
    """
    data = _metadata(job, samples)
    text = _TEXT.format(
        title=escaped(job.name),
        base_model=job.base_model,
        trigger=escaped(job.trigger_word),
        parameters=_table(job, caption_count),
        repo=repo,
        weights=WEIGHTS_NAME,
        prompt=_prompt(job),
        license_link=LICENSE_LINK,
    )
    content = f"---\n{data.to_yaml()}\n---\n{text}"
    check_card(content, job, samples)
    return content


def check_card(content: str, job: JobEvent, samples: Sequence[Sample] = ()) -> None:
    """Read the card as the hub will; raises CardInvalid when it does not say what it must."""
    try:
        card = ModelCard(content)
    except ValueError as error:
        raise CardInvalid("The generated model card cannot be read") from error
    wanted = _metadata(job, samples)
    wrong = sorted(name for name in _FIELDS if card.data.get(name) != wanted.get(name))
    if wrong or f"\n{GALLERY}\n" not in card.text or f"weight_name={WEIGHTS_NAME!r}" not in card.text:
        raise CardInvalid("The generated model card lacks what it must say", fields=", ".join(wrong))


def with_samples(content: str, samples: Sequence[Sample]) -> str:
    """A card that somebody has changed, with these images in its gallery and everything else as it is.

    Raises:
        CardInvalid: it cannot be read.
    """
    try:
        card = ModelCard(content, ignore_metadata_errors=True)
    except ValueError as error:
        raise CardInvalid("The model card on Hugging Face cannot be read") from error
    card.data["widget"] = [sample.shown for sample in samples]
    if GALLERY not in card.text:
        card.text = f"\n{GALLERY}\n{card.text}"
    return str(card)


def escaped(text: str) -> str:
    """`text` as Markdown that shows exactly it, on one line: CommonMark, section 2.4, backslash escapes."""
    printable = "".join(char if char.isprintable() else " " for char in text)
    return _PUNCTUATION.sub(r"\\\1", printable)


def _metadata(job: JobEvent, samples: Sequence[Sample]) -> ModelCardData:
    return ModelCardData(
        license="other",
        license_name=LICENSE_NAME,
        license_link=LICENSE_LINK,
        base_model=job.base_model,
        pipeline_tag="text-to-image",
        library_name="diffusers",
        tags=list(TAGS),
        instance_prompt=job.trigger_word,
        widget=_widget(job, samples),
    )


def _widget(job: JobEvent, samples: Sequence[Sample]) -> list[dict[str, Any]]:
    """What the hub's gallery shows: https://huggingface.co/docs/hub/models-widgets-examples#text-to-image."""
    return [sample.shown for sample in samples] or [{"text": _prompt(job)}]


def _prompt(job: JobEvent) -> str:
    return f"a photo of {job.trigger_word}"


def _table(job: JobEvent, caption_count: int) -> str:
    rows = {
        "steps": job.parameters.steps,
        "learning rate": f"{job.parameters.learning_rate:g}",
        "LoRA rank": job.parameters.lora_rank,
        "resolution": job.parameters.resolution.replace(",", ", "),
        "captioned images": caption_count or None,
        "training": f"`{job.training_id}`",
    }
    return "\n".join(f"| {name} | {value} |" for name, value in rows.items() if value is not None)
