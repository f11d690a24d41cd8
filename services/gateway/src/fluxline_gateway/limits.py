"""`GET /v1/limits`: the one set of limits, for every client to show."""

from typing import Any, Generic, TypeVar

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from fluxline.contracts import limits
from fluxline_gateway.images.uploads import MAX_UPLOAD_FILES

N = TypeVar("N", int, float)

router = APIRouter(prefix="/v1", tags=["limits"])


def _itself(schema: dict[str, Any], model: type[BaseModel]) -> None:
    """These models have one value, which is their example."""
    schema["examples"] = [model().model_dump(mode="json")]


class Range(BaseModel, Generic[N]):
    """A number between `min` and `max`, both included."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"min": 1, "max": 128, "default": 16}]})

    min: N
    max: N
    default: N


class Length(BaseModel):
    """A text's length in characters."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"min": 1, "max": 50}]})

    min: int
    max: int


class Choice(BaseModel):
    """One of `options`."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"options": ["webp", "jpg", "png"], "default": "webp"}]})

    options: list[str]
    default: str


class ImageLimits(BaseModel):
    """What an image must satisfy; the format is that of the content, the short side counts after orientation."""

    model_config = ConfigDict(json_schema_extra=_itself)

    per_training_min: int = limits.MIN_IMAGES
    per_training_max: int = limits.MAX_IMAGES
    per_upload_max: int = MAX_UPLOAD_FILES
    formats: list[str] = list(limits.IMAGE_FORMATS)
    short_side_min_px: int = limits.MIN_SHORT_SIDE_PX
    size_max_bytes: int = limits.MAX_IMAGE_BYTES
    pixels_max: int = limits.MAX_IMAGE_PIXELS
    filename: Length = Length(min=0, max=limits.MAX_FILENAME_CHARS)
    caption: Length = Length(min=0, max=limits.MAX_CAPTION_CHARS)


class TrainingLimits(BaseModel):
    """The bounds of a training's fields; `resolution` takes one to three of its options, joined by commas."""

    model_config = ConfigDict(json_schema_extra=_itself)

    name: Length = Length(min=1, max=limits.MAX_NAME_CHARS)
    trigger_word: Length = Length(min=1, max=limits.MAX_TRIGGER_WORD_CHARS)
    base_model: Choice = Choice(options=list(limits.BASE_MODELS), default=limits.BASE_MODELS[0])
    steps: Range[int] = Range(min=limits.STEPS[0], max=limits.STEPS[1], default=limits.DEFAULT_STEPS)
    learning_rate: Range[float] = Range(
        min=limits.LEARNING_RATE[0], max=limits.LEARNING_RATE[1], default=limits.DEFAULT_LEARNING_RATE
    )
    lora_rank: Range[int] = Range(min=limits.LORA_RANK[0], max=limits.LORA_RANK[1], default=limits.DEFAULT_LORA_RANK)
    resolution: Choice = Choice(options=[str(r) for r in limits.RESOLUTIONS], default=limits.DEFAULT_RESOLUTION)


class GenerationLimits(BaseModel):
    """The bounds of a generation's fields; a model card shows up to `sample_prompts_max` images."""

    model_config = ConfigDict(json_schema_extra=_itself)

    prompt: Length = Length(min=1, max=limits.MAX_PROMPT_CHARS)
    aspect_ratio: Choice = Choice(options=list(limits.ASPECT_RATIOS), default=limits.ASPECT_RATIOS[0])
    output_format: Choice = Choice(options=list(limits.OUTPUT_FORMATS), default=limits.OUTPUT_FORMATS[0])
    num_outputs: Range[int] = Range(min=limits.NUM_OUTPUTS[0], max=limits.NUM_OUTPUTS[1], default=1)
    num_inference_steps: Range[int] = Range(
        min=limits.INFERENCE_STEPS[0], max=limits.INFERENCE_STEPS[1], default=limits.DEFAULT_INFERENCE_STEPS
    )
    guidance_scale: Range[float] = Range(
        min=limits.GUIDANCE_SCALE[0], max=limits.GUIDANCE_SCALE[1], default=limits.DEFAULT_GUIDANCE_SCALE
    )
    lora_scale: Range[float] = Range(
        min=limits.LORA_SCALE[0], max=limits.LORA_SCALE[1], default=limits.DEFAULT_LORA_SCALE
    )
    sample_prompts_max: int = limits.MAX_SAMPLE_PROMPTS


class Limits(BaseModel):
    """What the API accepts."""

    model_config = ConfigDict(json_schema_extra=_itself)

    images: ImageLimits = ImageLimits()
    training: TrainingLimits = TrainingLimits()
    generation: GenerationLimits = GenerationLimits()


@router.get("/limits", operation_id="get_limits")
async def get_limits() -> Limits:
    """Everything that the API accepts; needs no API key, so that a form can show it."""
    return Limits()
