"""What an image request may ask for, and Together's error shape."""

import json
from typing import Any, Literal

from fastapi import Request
from pydantic import BaseModel, Field, ValidationError

SERVED = frozenset(
    f"black-forest-labs/FLUX.{name}" for name in ("1-schnell", "1-schnell-Free", "1-dev", "1-krea-dev", "1.1-pro")
)
RETIRED = frozenset({"black-forest-labs/FLUX.1-dev-lora", "black-forest-labs/FLUX.1-canny-lora"})
_REFUSED_WORD = "nsfw-test"


class TogetherError(Exception):
    """A refusal as Together words it: `{"error": {message, type, param, code}}`."""

    def __init__(self, status: int, message: str, *, code: str | None = None, param: str | None = None) -> None:
        super().__init__(f"{status} {message}")
        self.status = status
        self.body = {"message": message, "type": "invalid_request_error", "param": param, "code": code}


class ImageRequest(BaseModel):
    """The fields this stand-in knows; sizes in pixels."""

    model: str
    prompt: str = Field(min_length=1, max_length=10_000)
    steps: int = Field(default=20, ge=1, le=50)
    n: int = Field(default=1, ge=1, le=4)
    seed: int | None = None
    width: int = Field(default=1024, ge=64, le=1792, multiple_of=8)
    height: int = Field(default=1024, ge=64, le=1792, multiple_of=8)
    guidance_scale: float = Field(default=3.5, ge=0, le=20)
    response_format: Literal["url", "base64", "b64_json"] = "url"
    output_format: Literal["jpeg", "png"] = "jpeg"
    image_loras: list[Any] | None = None


async def parse(request: Request) -> ImageRequest:
    """The request's body, checked; raises TogetherError with the provider's status."""
    try:
        body = json.loads(await request.body())
        asked = ImageRequest.model_validate(body)
    except ValidationError as error:
        first = error.errors()[0]
        param = ".".join(map(str, first["loc"]))
        raise TogetherError(422, f"{param}: {first['msg']}", param=param) from error
    except ValueError as error:
        raise TogetherError(400, "The request body is not valid JSON") from error
    _refuse(asked)
    return asked


def _refuse(asked: ImageRequest) -> None:
    if asked.model not in SERVED:
        gone = "has been retired" if asked.model in RETIRED else "does not exist, or you do not have access to it"
        raise TogetherError(404, f"Unable to access model {asked.model}: it {gone}.", code="model_not_available")
    if asked.image_loras:
        message = f"image_loras is not supported by {asked.model}"
        raise TogetherError(422, message, param="image_loras", code="invalid_parameter")
    if _REFUSED_WORD in asked.prompt.lower():
        raise TogetherError(422, "The prompt was refused: NSFW content detected.", code="content_policy_violation")
