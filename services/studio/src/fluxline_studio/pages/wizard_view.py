"""What the wizard's templates and scripts are told: limits, texts and addresses of one step."""

from decimal import Decimal
from typing import Any, Final

from fluxline_studio import texts_wizard

STEPS: Final = tuple(texts_wizard.STEP_NAMES)
PATHS: Final[dict[str, Any]] = {
    "steps": {step: f"/new/{step}" for step in STEPS},
    "images": "/api/images",
    "image": "/api/images/{id}",
    "thumbnail": "/api/images/{id}/thumbnail",
    "review": "/api/images/review",
    "estimate": "/api/trainings/estimate",
    "trainings": "/api/trainings",
    "training": "/trainings/{id}",
    "sign_in": "/sign-in",
}
QUICK_SHARE, THOROUGH_SHARE = 0.5, 2


def view(step: str, owner: str, limits: dict[str, Any]) -> dict[str, Any]:
    """The template's names for `step`, one of STEPS; `limits` is what `GET /v1/limits` answers."""
    texts = texts_wizard.PAGE
    position = texts["step_of"].format(number=STEPS.index(step) + 1, count=len(STEPS))
    config = {"texts": texts_wizard.SCRIPT, "limits": limits, "owner": owner, "paths": PATHS}
    return {
        "w": texts,
        "step": step,
        "step_names": texts_wizard.STEP_NAMES,
        "position": position,
        "config": config,
        "limits": limits,
        "presets": presets(limits),
        "bounds": {name: _bounds(limits["training"][name]) for name in ("steps", "learning_rate", "lora_rank")},
        "formats": _formats(limits["images"]),
        "licence_url": texts_wizard.LICENCE_URL,
    }


def presets(limits: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The settings of each preset: the gateway's defaults, with fewer or more steps within its bounds."""
    training = limits["training"]
    settings = {name: training[name]["default"] for name in ("learning_rate", "lora_rank", "resolution")}
    steps = training["steps"]
    counts = {
        "quick": max(steps["min"], int(steps["default"] * QUICK_SHARE)),
        "balanced": steps["default"],
        "thorough": min(steps["max"], steps["default"] * THOROUGH_SHARE),
    }
    return {name: {"steps": count, **settings} for name, count in counts.items()}


def _bounds(limit: dict[str, Any]) -> dict[str, str]:
    """Smallest and largest value as people write them, never as 1e-05."""
    return {name: f"{Decimal(str(limit[name])):f}" for name in ("min", "max")}


def _formats(images: dict[str, Any]) -> str:
    """What files are taken, in one sentence; sizes in MiB and pixels."""
    names = ", ".join(name.upper() for name in images["formats"])
    text: str = texts_wizard.PAGE["photos"]["formats"]
    return text.format(formats=names, side=images["short_side_min_px"], size=images["size_max_bytes"] // 1024**2)
