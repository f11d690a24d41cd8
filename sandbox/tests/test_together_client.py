"""The unmodified Together SDK against the sandbox."""

import base64
import io
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import together
from PIL import Image

from .stand import Stand

MODEL = "black-forest-labs/FLUX.1-schnell"


@pytest.fixture
def client(stand: Stand) -> Iterator[together.Together]:
    with together.Together(base_url=f"{stand.url}/together/v1", api_key=stand.together_key, max_retries=0) as client:
        stand.configure(generation_seconds=0)
        yield client


def generate(client: together.Together, **given: Any) -> Any:
    return client.images.generate(**{"model": MODEL, "prompt": "a cat", "width": 320, "height": 256, **given})


def test_pictures_come_as_addresses(client: together.Together, stand: Stand) -> None:
    answer = generate(client, n=2, seed=3)
    assert [item.index for item in answer.data] == [0, 1]
    picture = Image.open(io.BytesIO(httpx.get(answer.data[0].url).content))
    assert (picture.format, picture.size) == ("JPEG", (320, 256))
    assert stand.state()["generations"] == 1


def test_pictures_come_as_base64(client: together.Together) -> None:
    answer = generate(client, response_format="base64", output_format="png")
    assert Image.open(io.BytesIO(base64.b64decode(answer.data[0].b64_json))).format == "PNG"


def test_a_retired_lora_model_is_gone(client: together.Together) -> None:
    with pytest.raises(together.NotFoundError, match="retired"):
        generate(client, model="black-forest-labs/FLUX.1-dev-lora")


def test_loras_are_refused(client: together.Together, stand: Stand) -> None:
    with pytest.raises(together.UnprocessableEntityError, match="image_loras"):
        generate(client, image_loras=[{"path": "me/lora", "scale": 1.0}])
    assert stand.state()["generations"] == 0


@pytest.mark.parametrize("given", [{"n": 5}, {"width": 10}, {"prompt": "nsfw-test"}, {"steps": 0}])
def test_impossible_requests_are_refused(client: together.Together, given: dict[str, Any]) -> None:
    with pytest.raises(together.UnprocessableEntityError) as refused:
        generate(client, **given)
    assert set(refused.value.body["error"]) == {"message", "type", "param", "code"}  # type: ignore[index]


def test_a_wrong_key_is_refused(stand: Stand) -> None:
    with (
        together.Together(base_url=f"{stand.url}/together", api_key="wrong", max_retries=0) as client,
        pytest.raises(together.AuthenticationError, match="Invalid API key"),
    ):
        generate(client)
