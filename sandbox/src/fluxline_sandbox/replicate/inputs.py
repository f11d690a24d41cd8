"""Checks of the `input` object, with the rules and the wording of Replicate's validator."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from fluxline_sandbox.replicate.problems import invalid

_TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "uri": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
}
Finding = tuple[str, str, str]


@dataclass(frozen=True)
class Field:
    """One input: its type, default, inclusive range and choices; a field without a default is required."""

    type: str
    default: Any = None
    ge: float | None = None
    le: float | None = None
    choices: tuple[str, ...] | None = None
    required: bool = False

    def check(self, name: str, value: Any) -> Finding | None:
        """The first rule that `value` breaks."""
        where = f"input.{name}"
        known = isinstance(value, _TYPES[self.type])
        if not known or (isinstance(value, bool) and self.type != "boolean"):
            expected = "string" if self.type == "uri" else self.type
            return "invalid_type", where, f"Invalid type. Expected: {expected}, given: {_json_type(value)}"
        if self.type == "uri" and not is_http_url(value):
            return "format", where, "Does not match format 'uri'"
        if self.ge is not None and value < self.ge:
            return "number_gte", where, f"Must be greater than or equal to {self.ge:g}"
        if self.le is not None and value > self.le:
            return "number_lte", where, f"Must be less than or equal to {self.le:g}"
        if self.choices is not None and value not in self.choices:
            listed = ", ".join(f'"{choice}"' for choice in self.choices)
            return "enum", where, f"{where} must be one of the following: {listed}"
        return None


Schema = dict[str, Field]


def is_http_url(value: str) -> bool:
    """Whether `value` is an http or https address with a host."""
    try:
        parts = urlsplit(value)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        return False


def validated(schema: Schema, given: Any) -> dict[str, Any]:
    """`given` with the defaults filled in; unknown fields are ignored. Raises a 422 `Problem` naming each field."""
    if not isinstance(given, dict):
        raise invalid([("invalid_type", "input", f"Invalid type. Expected: object, given: {_json_type(given)}")])
    findings: list[Finding] = []
    values: dict[str, Any] = {}
    for name, field in schema.items():
        value = given.get(name)
        value = values[name] = field.default if value is None else value
        if value is None and field.required:
            findings.append(("required", "input", f"{name} is required"))
        elif value is not None and (finding := field.check(name, value)):
            findings.append(finding)
    if findings:
        raise invalid(findings)
    return values


def _json_type(value: Any) -> str:
    names = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    return names.get(type(value), "null")


FLUX_DEV_LORA_TRAINER: Schema = {
    "input_images": Field("uri", required=True),
    "trigger_word": Field("string", "TOK"),
    "autocaption": Field("boolean", True),
    "autocaption_prefix": Field("string"),
    "autocaption_suffix": Field("string"),
    "steps": Field("integer", 1000, ge=3, le=6000),
    "learning_rate": Field("number", 4e-4),
    "batch_size": Field("integer", 1),
    "resolution": Field("string", "512,768,1024"),
    "lora_rank": Field("integer", 16, ge=1, le=128),
    "caption_dropout_rate": Field("number", 0.05, ge=0, le=1),
    "optimizer": Field("string", "adamw8bit"),
    "cache_latents_to_disk": Field("boolean", False),
    "layers_to_optimize_regex": Field("string"),
    "gradient_checkpointing": Field("boolean", False),
}
FAST_FLUX_TRAINER: Schema = {
    "input_images": Field("uri", required=True),
    "trigger_word": Field("string", "TOK"),
    "lora_type": Field("string", "subject", choices=("subject", "style")),
    "training_steps": Field("integer", 1000, ge=10, le=4000),
}
_RATIOS = ("1:1", "16:9", "21:9", "3:2", "2:3", "4:5", "5:4", "3:4", "4:3", "9:16", "9:21")
_PICTURE: Schema = {
    "prompt": Field("string", required=True),
    "num_outputs": Field("integer", 1, ge=1, le=4),
    "seed": Field("integer"),
    "output_format": Field("string", "webp", choices=("webp", "jpg", "png")),
    "output_quality": Field("integer", 80, ge=0, le=100),
    "go_fast": Field("boolean", False),
    "disable_safety_checker": Field("boolean", False),
    "guidance_scale": Field("number", 3.5, ge=0, le=10),
}
TRAINED_VERSION: Schema = {
    **_PICTURE,
    "aspect_ratio": Field("string", "1:1", choices=(*_RATIOS, "custom")),
    "width": Field("integer", ge=256, le=1440),
    "height": Field("integer", ge=256, le=1440),
    "lora_scale": Field("number", 1.0, ge=-1, le=2),
    "num_inference_steps": Field("integer", 28, ge=1, le=50),
    "model": Field("string", "dev", choices=("dev", "schnell")),
    "extra_lora": Field("string"),
    "extra_lora_scale": Field("number", 1.0, ge=-1, le=2),
}
FLUX_DEV: Schema = {
    **_PICTURE,
    "aspect_ratio": Field("string", "1:1", choices=_RATIOS),
    "num_inference_steps": Field("integer", 28, ge=1, le=50),
}
FLUX_SCHNELL: Schema = {
    **_PICTURE,
    "aspect_ratio": Field("string", "1:1", choices=_RATIOS),
    "num_inference_steps": Field("integer", 4, ge=1, le=4),
}
