"""The model card, generated from the job: metadata by the hub's convention for FLUX LoRAs, then text for people.

What users wrote (name, trigger word) goes through a YAML writer, a Markdown escape or a Python literal, so that it
cannot end the block that it stands in. Convention: https://huggingface.co/docs/hub/model-cards.
"""

import re
from typing import Final

from huggingface_hub import ModelCard, ModelCardData

from fluxline.contracts.events import TrainingSucceeded
from fluxline_publisher.errors import CardInvalid

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


def make_card(job: TrainingSucceeded, repo: str, caption_count: int) -> str:
    """The README.md of the model in `repo` (namespace/name); the same job gives the same text.

    Raises:
        CardInvalid: the result does not read back as what was put in.
    """
    data = _metadata(job)
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
    check_card(content, job)
    return content


def check_card(content: str, job: TrainingSucceeded) -> None:
    """Read the card as the hub will; raises CardInvalid when it does not say what it must."""
    try:
        card = ModelCard(content)
    except ValueError as error:
        raise CardInvalid("The generated model card cannot be read") from error
    wanted = _metadata(job)
    wrong = sorted(name for name in _FIELDS if card.data.get(name) != wanted.get(name))
    if wrong or "\n<Gallery />\n" not in card.text or f"weight_name={WEIGHTS_NAME!r}" not in card.text:
        raise CardInvalid("The generated model card lacks what it must say", fields=", ".join(wrong))


def escaped(text: str) -> str:
    """`text` as Markdown that shows exactly it, on one line: CommonMark, section 2.4, backslash escapes."""
    printable = "".join(char if char.isprintable() else " " for char in text)
    return _PUNCTUATION.sub(r"\\\1", printable)


def _metadata(job: TrainingSucceeded) -> ModelCardData:
    return ModelCardData(
        license="other",
        license_name=LICENSE_NAME,
        license_link=LICENSE_LINK,
        base_model=job.base_model,
        pipeline_tag="text-to-image",
        library_name="diffusers",
        tags=list(TAGS),
        instance_prompt=job.trigger_word,
        widget=[{"text": _prompt(job)}],
    )


def _prompt(job: TrainingSucceeded) -> str:
    return f"a photo of {job.trigger_word}"


def _table(job: TrainingSucceeded, caption_count: int) -> str:
    rows = {
        "steps": job.parameters.steps,
        "learning rate": f"{job.parameters.learning_rate:g}",
        "LoRA rank": job.parameters.lora_rank,
        "resolution": job.parameters.resolution.replace(",", ", "),
        "captioned images": caption_count or None,
        "training": f"`{job.training_id}`",
    }
    return "\n".join(f"| {name} | {value} |" for name, value in rows.items() if value is not None)
