"""The served limits are the enforced ones."""

import httpx

from fluxline.contracts import limits
from fluxline.contracts.job import TrainingParameters


async def test_limits_are_served_to_everybody(anonymous: httpx.AsyncClient) -> None:
    served = (await anonymous.get("/v1/limits")).json()
    images, training = served["images"], served["training"]
    assert (images["per_training_min"], images["per_training_max"]) == (5, 20)
    assert images["formats"] == ["jpeg", "png", "webp", "tiff", "heic"]
    assert (images["short_side_min_px"], images["size_max_bytes"]) == (512, limits.MAX_IMAGE_BYTES)
    assert training["steps"] == {"min": 100, "max": 4000, "default": 1000}
    assert training["name"] == {"min": 1, "max": 50}
    assert served["generation"]["aspect_ratio"]["default"] == "1:1"


async def test_the_served_defaults_are_those_that_a_training_gets(anonymous: httpx.AsyncClient) -> None:
    training = (await anonymous.get("/v1/limits")).json()["training"]
    defaults = TrainingParameters()
    for name in ("steps", "learning_rate", "lora_rank", "resolution"):
        assert training[name]["default"] == getattr(defaults, name)
