"""What is asked of the provider."""

from uuid import UUID

import pytest

from fluxline.contracts.events import GenerationRequested
from fluxline_generator.errors import ModelNotReady
from fluxline_generator.orders import Order
from fluxline_generator.prompts import wanted_of, with_trigger_word
from fluxline_generator.replicate_api import BASE_MODEL, order_of

from .conftest import wanted

VERSION = "fluxline/ada:" + "a" * 64


@pytest.mark.parametrize(
    ("prompt", "trigger_word", "expected"),
    [
        ("a cat", "TOK", "TOK, a cat"),
        ("a photo of TOK", "TOK", "a photo of TOK"),
        ("TOK's cat, TOK", "TOK", "TOK's cat, TOK"),
        ("a tok", "TOK", "TOK, a tok"),
        ("TOKEN", "TOK", "TOK, TOKEN"),
        ("my_TOK", "TOK", "TOK, my_TOK"),
        ("a cat", None, "a cat"),
        ("by (x.*", "(x.*", "by (x.*"),
        ("über Zoë", "Zoë", "über Zoë"),
    ],
)
def test_the_trigger_word_is_added_once_when_absent(prompt: str, trigger_word: str | None, expected: str) -> None:
    assert with_trigger_word(prompt, trigger_word) == expected
    assert with_trigger_word(expected, trigger_word) == expected


def test_a_lora_is_asked_for_by_its_version_with_every_parameter() -> None:
    order = asked(wanted(VERSION, parameters={"prompt": "at sea", "seed": 7, "num_outputs": 2, "lora_scale": 0.8}))
    assert order.target == "a" * 64
    assert order.input == {
        "prompt": "ADATOK, at sea",
        "model": "dev",
        "lora_scale": 0.8,
        "guidance_scale": 3.5,
        "aspect_ratio": "1:1",
        "num_outputs": 2,
        "num_inference_steps": 28,
        "output_format": "webp",
        "seed": 7,
    }


def test_the_base_model_gets_no_lora_parameters() -> None:
    order = asked(wanted(None))
    assert order.target == BASE_MODEL
    assert "lora_scale" not in order.input


def test_without_a_seed_one_follows_from_the_generation() -> None:
    first, second = UUID(int=2**127 + 5), UUID(int=6)
    assert asked(wanted(VERSION, first)).input["seed"] == 5
    assert asked(wanted(VERSION, first)) == asked(wanted(VERSION, first))
    assert asked(wanted(VERSION, second)).input["seed"] == 6


def test_a_lora_without_a_version_is_never_replaced_by_the_base_model() -> None:
    with pytest.raises(ModelNotReady):
        asked(wanted(VERSION).model_copy(update={"provider_version": None}))


def asked(event: GenerationRequested) -> Order:
    order = order_of(wanted_of(event))
    assert order is not None
    return order
