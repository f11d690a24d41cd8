"""One request to one provider, and what each provider can do exactly."""

from dataclasses import dataclass
from typing import Any, Final

from fluxline_generator.prompts import Wanted

FLUX_DEV: Final = "black-forest-labs/FLUX.1-dev"
SIZES: Final = {
    "1:1": (1024, 1024),
    "16:9": (1344, 768),
    "21:9": (1536, 640),
    "3:2": (1216, 832),
    "2:3": (832, 1216),
    "4:5": (896, 1088),
    "5:4": (1088, 896),
    "3:4": (896, 1152),
    "4:3": (1152, 896),
    "9:16": (768, 1344),
    "9:21": (640, 1536),
}
"""Width and height in pixels of each aspect ratio, about a megapixel, for providers that are told pixels."""


@dataclass(frozen=True)
class Order:
    """`target` is the provider's name of the model or version; `input` is flat, and holds no link."""

    target: str
    input: dict[str, Any]

    @property
    def prompt(self) -> str:
        """The prompt as sent."""
        return str(self.input["prompt"])

    @property
    def used(self) -> dict[str, str | int | float | bool]:
        """Everything sent except the prompt."""
        return {"target": self.target} | {name: value for name, value in self.input.items() if name != "prompt"}


@dataclass(frozen=True)
class Limits:
    """What a provider takes: bounds are inclusive."""

    formats: tuple[str, ...]
    outputs: tuple[int, int] = (1, 4)
    steps: tuple[int, int] = (1, 50)
    guidance: tuple[float, float] = (0.0, 10.0)
    scale: tuple[float, float] = (0.0, 4.0)

    def allow(self, wanted: Wanted) -> bool:
        """Whether all of it can be done exactly. WebP is made here from PNG where a provider has none."""
        bounded = (
            (wanted.num_outputs, self.outputs),
            (wanted.steps, self.steps),
            (wanted.guidance, self.guidance),
            (self.scale[0] if wanted.lora_scale is None else wanted.lora_scale, self.scale),
        )
        formats = (*self.formats, "webp") if "png" in self.formats else self.formats
        fits = all(low <= value <= high for value, (low, high) in bounded)
        return fits and wanted.output_format in formats and wanted.aspect_ratio in SIZES


LIMITS: Final = {
    "replicate": Limits(("webp", "jpg", "png"), scale=(-1.0, 3.0)),
    "fal": Limits(("jpg", "png"), guidance=(0.0, 35.0)),
    "together": Limits(("jpg", "png"), guidance=(0.0, 20.0)),
}


def in_pixels(wanted: Wanted) -> dict[str, Any]:
    """What fal and Together call alike."""
    width, height = SIZES[wanted.aspect_ratio]
    output_format = "jpeg" if wanted.output_format == "jpg" else "png"
    common = {"prompt": wanted.prompt, "seed": wanted.seed, "guidance_scale": wanted.guidance}
    return common | {"width": width, "height": height, "output_format": output_format}
