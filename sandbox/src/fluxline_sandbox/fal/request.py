"""What a request to a fal model may hold, and fal's two shapes of an error.

Models: https://fal.ai/models/fal-ai/flux-lora/api and https://fal.ai/models/fal-ai/flux/dev/api.
"""

from typing import Any, Literal, NamedTuple

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError

MODELS = {"fal-ai/flux-lora": True, "fal-ai/flux/dev": False}
"""What is served, and whether it takes LoRAs."""
NAMED_SIZES = {
    "square_hd": (1024, 1024),
    "square": (512, 512),
    "portrait_4_3": (768, 1024),
    "portrait_16_9": (576, 1024),
    "landscape_4_3": (1024, 768),
    "landscape_16_9": (1024, 576),
}


class FalError(Exception):
    """A refusal: `detail` is a sentence from the queue, or a list of `{loc, msg, type}` from a model."""

    def __init__(self, status: int, detail: str | list[dict[str, Any]]) -> None:
        super().__init__(f"{status} {detail}")
        self.status = status
        self.detail = detail


class Size(BaseModel):
    """Pixels."""

    width: int = Field(512, gt=0, le=14_142)
    height: int = Field(512, gt=0, le=14_142)


class Lora(BaseModel):
    """Where the weights are, and how strong they are."""

    path: str
    scale: float = Field(1.0, ge=0, le=4)


class Input(BaseModel):
    """The fields this stand-in knows."""

    model_config = ConfigDict(extra="ignore")

    prompt: str
    image_size: Literal[tuple(NAMED_SIZES)] | Size = "landscape_4_3"  # type: ignore[valid-type]  # names are data
    num_inference_steps: int = Field(28, ge=1, le=50)
    seed: int | None = None
    loras: list[Lora] = []
    guidance_scale: float = Field(3.5, ge=0, le=35)
    num_images: int = Field(1, ge=1, le=4)
    enable_safety_checker: bool = True
    output_format: Literal["jpeg", "png"] = "jpeg"

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        named = self.image_size
        return (named.width, named.height) if isinstance(named, Size) else NAMED_SIZES[str(named)]


class Address(NamedTuple):
    """A path below the queue: the model's id, and the request's where the path names one."""

    model: str
    application: str
    """The id's first two parts, under which requests are found again."""


def address_of(path: str) -> Address:
    """The model at `path`; raises FalError 404 as the queue does."""
    if path not in MODELS:
        raise FalError(404, f"Application '{path.rpartition('/')[2]}' not found")
    return Address(path, "/".join(path.split("/")[:2]))


async def json_object(request: Request) -> dict[str, Any]:
    """The body; raises FalError 422 for anything but a JSON object."""
    try:
        body = await request.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise FalError(422, [{"loc": ["body"], "msg": "Input should be a valid dictionary", "type": "dict_type"}])
    return body


def checked(model: str, body: dict[str, Any]) -> Input:
    """The input as the model reads it; raises FalError 422 with one entry for each field that does not fit."""
    try:
        given = Input.model_validate(body)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        raise FalError(
            422, [{"loc": ["body", *e["loc"]], "msg": e["msg"], "type": e["type"]} for e in found]
        ) from error
    if not MODELS[model]:
        given.loras.clear()
    return given
